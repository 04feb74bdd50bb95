"""A prepared data set: images decoded once, in memory-mapped shards that all trials of a node share.

It is a disposable cache beside the study. Its folder is named after the listing it was made from (names, sizes and times
of all files), so a changed data set is prepared anew; the fingerprint that goes into every key is of the content.
Nothing of it is used before it was verified: the manifest when the set is opened, the tables when they are read, the
shards before the first image is taken, and each again when the file has changed since.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.arrays import Pixels
from trainables.data.packing.manifest import DamagedDataError, digest_of_bytes, read_manifest
from trainables.data.packing.shards import Shard, map_images, open_regular
from trainables.data.packing.verification import stamp, verify
from trainables.store.arrow import read_parquet

INDEX, PROBLEMS = "index.parquet", "problems.parquet"


@dataclass(frozen=True)
class Packed:
    """A prepared data set.

    Attributes:
        folder: where it lies.
        classes: names of the classes, sorted; ``label`` is an index into them.
        fingerprint: SHA-256 over (image_id, label, group, part, SHA-256 of the bytes) of all good images; and of those whose
            pixels a reading rule touched, what it did.
        size: edge of the images, pixels.
        shards: the files of its images, in order.
        tables: name and digest of its Parquet files.
        since: start of the run, see ``verification.verify``.
        notes: what was skipped, turned, flattened, scaled: a sentence for each kind.
        repaired: what was found damaged before it was prepared again, a sentence for each file.
    """

    folder: Path
    classes: tuple[str, ...]
    fingerprint: str
    size: int
    shards: tuple[Shard, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    since: float = field(default=0.0, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    repaired: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def index(self) -> pa.Table:
        """One row an image that decodes; row i is image i.

        Its columns are image_id, label, group, part, sha256, and, null where they do not apply: ``touched`` (what the reading
        rules did), ``pixels`` and ``likeness`` (see ``Outcome``), ``copies`` (the same text in all images that are copies of
        each other, by the data set's rule of duplicates), ``left_out`` (why no split takes it).
        """
        return self._table(INDEX)

    @cached_property
    def problems(self) -> list[dict[str, str]]:
        """What was found wrong: image_id, what."""
        return list(self._table(PROBLEMS).to_pylist())

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
    def class_counts(self) -> list[int]:
        """Number of images of each class."""
        counts: list[int] = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        return counts

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed images."""
        return self.size**2 * 3 * sum(shard.rows for shard in self.shards)

    def verify(self) -> Packed:
        """Verify tables and shards, as far as this node has not done so since they last changed; return the set itself.

        Raises:
            DamagedDataError: if a file is missing or is not what was written.
        """
        _ = self.index, self.problems, self._pixels
        return self

    def gather(self, rows: NDArray[np.int64]) -> Pixels:
        """Return images by row.

        Args:
            rows: shape (n,).

        Returns:
            uint8, shape (n, size, size, 3).

        Raises:
            DamagedDataError: if a shard is missing or is not what was written.
        """
        return self._pixels.take(rows)

    @cached_property
    def _pixels(self) -> ShardedPixels:
        return ShardedPixels(self.folder, self.shards, self.size, self.since)

    def _table(self, name: str) -> pa.Table:
        try:
            with open_regular(self.folder / name) as stream:
                content = stream.read()
        except OSError as error:
            raise DamagedDataError(self.folder, [f"{name} cannot be read: {error}"]) from error
        found, expected = digest_of_bytes(content), dict(self.tables)[name]
        if found != expected:
            raise DamagedDataError(self.folder, [f"{name} has the digest {found}, expected {expected}"])
        return read_parquet(content)


class ShardedPixels:
    """The images of a set in its memory-mapped shards, each verified before it is mapped and again when it changed."""

    def __init__(self, folder: Path, shards: tuple[Shard, ...], edge: int, since: float) -> None:
        """Verify all shards. Raises DamagedDataError."""
        self._folder, self._shards, self._edge, self._since = folder, shards, edge, since
        self._stamps = verify(folder, shards, edge, since)
        self._starts = np.cumsum([0, *(shard.rows for shard in shards)])
        self._mapped: dict[int, Pixels] = {}

    def take(self, rows: NDArray[np.int64]) -> Pixels:
        """Return images by row: uint8, shape (len(rows), edge, edge, 3). Raises as ``Packed.gather``."""
        images = np.empty((len(rows), self._edge, self._edge, 3), dtype=np.uint8)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        of_shard = {number: self._current(number) for number in set(numbers.tolist())}
        within = rows - self._starts[numbers]
        for place, (number, row) in enumerate(zip(numbers.tolist(), within.tolist(), strict=True)):
            images[place] = of_shard[number][row]
        return images

    def _current(self, number: int) -> Pixels:
        """Return the images of a shard as it is now."""
        shard = self._shards[number]
        if self._stamp(shard) != self._stamps[shard.file]:
            self._mapped.pop(number, None)
            self._stamps |= verify(self._folder, [shard], self._edge, self._since)
        if number not in self._mapped:
            self._mapped[number] = map_images(self._folder / shard.file, shard.rows, self._edge)
        return self._mapped[number]

    def _stamp(self, shard: Shard) -> str | None:
        try:
            return stamp(self._folder / shard.file)
        except OSError:
            return None


def load(folder: Path, since: float = 0.0) -> Packed:
    """Open a prepared data set. Its manifest is verified now, the rest before it is used.

    Args:
        folder: of the set.
        since: start of the run, in seconds since the epoch: each run verifies the shards anew, once a node. 0: outside a run.

    Raises:
        FileNotFoundError: if there is none.
        DamagedDataError: if its manifest is missing or is not what was written.
    """
    meta = read_manifest(folder)
    shards = tuple(Shard(file, rows) for file, rows in meta["shards"].items())
    return Packed(
        folder,
        tuple(meta["classes"]),
        meta["fingerprint"],
        meta["size"],
        shards,
        tuple(meta["tables"].items()),
        since,
        tuple(meta["notes"]),
    )
