"""Images decoded once, into a memory-mapped Arrow file that all trials of a node share.

The packed form is a disposable cache beside the study. It is named after the listing it was made
from (names, sizes and times of all files), so a changed data set is prepared anew; the fingerprint
that goes into every key is of the content.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.arrays import Pixels
from trainables.data.packing.arrow_images import BATCH_ROWS, map_images

IMAGES, META = "images.arrow", "meta.json"


@dataclass(frozen=True)
class Packed:
    """A prepared data set.

    Attributes:
        folder: where it lies.
        classes: names of the classes, sorted; ``label`` is an index into them.
        fingerprint: SHA-256 over (image_id, label, group, part, SHA-256 of the bytes) of all good images.
    """

    folder: Path
    classes: tuple[str, ...]
    fingerprint: str
    size: int

    @cached_property
    def index(self) -> pa.Table:
        """One row an image that decodes: image_id, label, group, part, sha256. Row i is image i."""
        return pq.ParquetFile(self.folder / "index.parquet").read()  # read_table would import pandas

    @cached_property
    def problems(self) -> list[dict[str, str]]:
        """What was found wrong: image_id, what."""
        return list(pq.ParquetFile(self.folder / "problems.parquet").read().to_pylist())

    @cached_property
    def image_numbers(self) -> NDArray[np.uint64]:
        """A number for each image, from its id alone: the seed of its augmentation."""
        ids = self.index.column("image_id").to_pylist()
        return np.array([int.from_bytes(hashlib.sha256(i.encode()).digest()[:8], "big") for i in ids], dtype=np.uint64)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Labels of all images, shape (N,)."""
        return np.asarray(self.index.column("label").to_numpy(), dtype=np.int64)

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed images on the disk."""
        return (self.folder / IMAGES).stat().st_size

    def gather(self, rows: NDArray[np.int64]) -> Pixels:
        """Return images by row: uint8, shape (len(rows), size, size, 3)."""
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            images[place] = self._batches[row // BATCH_ROWS][row % BATCH_ROWS]
        return images

    @cached_property
    def _batches(self) -> list[Pixels]:
        return map_images(self.folder / IMAGES, self.size)


def load(folder: Path) -> Packed:
    """Open a prepared data set. Raises FileNotFoundError where there is none."""
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    return Packed(folder, tuple(meta["classes"]), meta["fingerprint"], meta["size"])
