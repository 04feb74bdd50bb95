"""Images of one size in one memory-mapped Arrow file: how it is written, and how it is seen without a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.errors import UserError

Pixels = NDArray[np.uint8]
BATCH_ROWS = 512
"""Images in one Arrow record batch: the unit that is decoded, written and found again."""


def map_images(file: Path, size: int) -> list[Pixels]:
    """Return the record batches of a file, each a view of shape (up to BATCH_ROWS, size, size, 3)."""
    reader = pa.ipc.open_file(pa.memory_map(str(file)))
    return [_view(reader.get_batch(i).column(0), size) for i in range(reader.num_record_batches)]


def _view(column: pa.FixedSizeBinaryArray, size: int) -> Pixels:
    return np.frombuffer(column.buffers()[1], dtype=np.uint8).reshape(len(column), size, size, 3)


class ImageWriter:
    """Writes images of one size as record batches of ``BATCH_ROWS``.

    Attributes:
        size: edge of the images, pixels; 0 before the first.
    """

    def __init__(self, path: Path, images: int) -> None:
        self._path = path
        self._images = images
        self._rows: list[Pixels] = []
        self._writer: pa.RecordBatchFileWriter | None = None
        self.size = 0

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def add(self, image: Pixels, image_id: str) -> None:
        """Append an image, shape (size, size, 3). Raises UserError if it is of another size, or the disk too small."""
        if not self.size:
            self.size = image.shape[0]
            self._refuse_full_disk(image.nbytes)
        if image.shape != (self.size, self.size, 3):
            raise UserError(
                f"{image_id} is {image.shape[1]}×{image.shape[0]} pixels, others are {self.size}×{self.size}: give the data set a `size:`"
            )
        self._rows.append(image)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write what is left."""
        if self._rows:
            self._flush()

    def _flush(self) -> None:
        width = self.size * self.size * 3
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(width), len(self._rows), [None, pa.py_buffer(np.stack(self._rows))]
        )
        batch = pa.record_batch([column], names=["image"])
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._path), batch.schema)
        self._writer.write_batch(batch)
        self._rows = []

    def _refuse_full_disk(self, image_bytes: int) -> None:
        needed, free = image_bytes * self._images, shutil.disk_usage(self._path.parent).free
        if needed > free:
            raise UserError(
                f"{self._path.parent.parent} has {free / 1e6:,.0f} MB free, the packed images need {needed / 1e6:,.0f} MB: give --storage another place, or the data set a smaller `size:`"
            )
