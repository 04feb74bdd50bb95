"""Images of one size in one memory-mapped Arrow file: how it is written, gone on with, and seen without a copy."""

from __future__ import annotations

import io
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64

from trainables.arrays import Pixels
from trainables.errors import UserError

BATCH_ROWS = 512
"""Images in one Arrow record batch: the unit that is written, found again, and gone on after."""


def map_images(file: Path, size: int) -> list[Pixels]:
    """Return the record batches of a file, each a view of shape (up to BATCH_ROWS, size, size, 3)."""
    reader = pa.ipc.open_file(pa.memory_map(str(file)))
    return [_view(reader.get_batch(i).column(0), size) for i in range(reader.num_record_batches)]


def _view(column: pa.FixedSizeBinaryArray, size: int) -> Pixels:
    return np.frombuffer(column.buffers()[1], dtype=np.uint8).reshape(len(column), size, size, 3)


@dataclass(frozen=True)
class Kept:
    """How much of a file is whole.

    Attributes:
        size: edge of the images, pixels; 0 where there is none.
        batches: whole record batches.
        start: where the last of them begins, bytes.
        end: where it ends; what lies behind is not used.
        checksum: of the bytes from ``start`` to ``end``: XXH3, 64 bits.
    """

    size: int = 0
    batches: int = 0
    start: int = 0
    end: int = 0
    checksum: str = xxh3_64().hexdigest()

    def is_in(self, file: Path) -> bool:
        """Whether a file holds what was kept: the last batch is what was written."""
        try:
            with file.open("rb") as stream:
                stream.seek(self.start)
                return xxh3_64(stream.read(self.end - self.start)).hexdigest() == self.checksum
        except OSError:
            return False


class ImageWriter:
    """Writes images of one size as record batches of ``BATCH_ROWS``; a file begun earlier is gone on with.

    Attributes:
        kept: what is whole.
    """

    def __init__(self, path: Path, images: int, kept: Kept = Kept(), size: int | None = None) -> None:
        """Begin, or go on.

        Args:
            path: the file.
            images: how many it will hold at most: its size is known before it is written.
            kept: what an earlier writer left.
            size: edge of the images where it is known.

        Raises:
            UserError: if the disk is too small.
        """
        self.kept = kept
        self._path = path
        self._images = images
        self._block: Pixels | None = None
        self._filled = 0
        self._size = kept.size or (size or 0)
        self._sink: _Sink | None = None
        if self._size:
            self._refuse_full_disk()

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sink is not None:
            self._sink.close()

    @property
    def size(self) -> int:
        """Edge of the images, pixels; 0 before the first."""
        return self._size

    def add(self, image: Pixels, image_id: str) -> bool:
        """Append an image, shape (size, size, 3); return whether a batch was written, and all before it is kept.

        Raises:
            UserError: if it is of another size, or the disk too small.
        """
        if not self._size:
            self._size = image.shape[0]
            self._refuse_full_disk()
        if image.shape != (self._size, self._size, 3):
            raise UserError(
                f"{image_id} is {image.shape[1]}×{image.shape[0]} pixels, others are {self._size}×{self._size}: give the data set a `size:`"
            )
        if self._block is None:  # once: fresh memory for each batch took as long as writing it
            self._block = np.empty((BATCH_ROWS, self._size, self._size, 3), dtype=np.uint8)
        self._block[self._filled] = image
        self._filled += 1
        if self._filled == BATCH_ROWS:
            self._flush()
            return True
        return False

    def finish(self) -> None:
        """Write what is left, and the end that makes the file one."""
        sink = self._open()
        if self._filled:
            self._flush()
        self._writer.close()
        sink.sync()

    def _flush(self) -> None:
        sink = self._open()
        start = sink.tell()
        sink.checksum.reset()
        if self._block is not None:
            self._writer.write_batch(self._batch(self._block[: self._filled]))
        sink.flush()
        self.kept = Kept(self._size, self.kept.batches + 1, start, sink.tell(), sink.checksum.hexdigest())
        self._filled = 0

    def _open(self) -> _Sink:
        if self._sink is None:
            self._sink = _Sink(self._path, self.kept.end)
            self._writer = pa.ipc.new_file(self._sink, pa.schema([("image", pa.binary(self._size * self._size * 3))]))
            if self.kept.batches:
                # The writer must know of the batches that are there. Their bytes are not written again, so any will do.
                blank = self._batch(np.zeros((BATCH_ROWS, self._size, self._size, 3), np.uint8))
                for _ in range(self.kept.batches):
                    self._writer.write_batch(blank)
            if self.kept.end not in (0, self._sink.tell()):
                raise OSError(f"{self._path} was begun by another version: delete {self._path.parent}")
        return self._sink

    def _batch(self, images: Pixels) -> pa.RecordBatch:
        kind = pa.binary(self._size * self._size * 3)
        column = pa.FixedSizeBinaryArray.from_buffers(kind, len(images), [None, pa.py_buffer(images)])
        return pa.record_batch([column], names=["image"])

    def _refuse_full_disk(self) -> None:
        needed = self._size * self._size * 3 * self._images
        free = shutil.disk_usage(self._path.parent).free + self.kept.end
        if needed > free:
            raise UserError(
                f"{self._path.parent.parent} has {free / 1e6:,.0f} MB free, the packed images need {needed / 1e6:,.0f} MB: give --storage another place, or the data set a smaller `size:`"
            )


class _Sink(io.RawIOBase):
    """A file whose first bytes are there already: writing them again does nothing but count.

    Attributes:
        checksum: of what was written since it was last reset.
    """

    def __init__(self, path: Path, kept: int) -> None:
        self._file = path.open("r+b" if kept else "wb")
        self._file.truncate(kept)
        self._file.seek(kept)
        self._kept = kept
        self._place = 0
        self._thread = ThreadPoolExecutor(1)
        self._syncing: list[Future[None]] = []
        self.checksum = xxh3_64()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        new = view[max(0, min(len(view), self._kept - self._place)) :]
        if len(new):
            self._file.write(new)
            self.checksum.update(new)
        self._place += len(view)
        return len(view)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        """Send to the disk what was written, without waiting: else all is waited for at the end."""
        if not self._file.closed:
            self._file.flush()
            self._syncing.append(self._thread.submit(os.fsync, self._file.fileno()))

    def sync(self) -> None:
        """Wait until all is on the disk."""
        self.flush()
        for asked in self._syncing:  # each: what the disk could not do, it says once only
            asked.result()

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._file.close()
        super().close()
