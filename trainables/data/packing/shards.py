"""One shard of a prepared data set: some hundred images in one file, which has its digest in its name.

A shard ``shard-NUMBER-DIGEST.rgb`` holds, one after the other:

- the pixels: uint8, shape (rows, edge, edge, 3), C order; they begin at byte 0, so that they can be memory-mapped;
- a record: JSON in UTF-8 with what the shard was made from and how each of its images was decoded;
- the length of the record in bytes: 8 bytes, big-endian.

DIGEST is XXH3 (128 bits) over the XXH3 of each image and the bytes behind the images: it covers the whole file, and an
image is hashed by the thread that has just decoded it, while it is in the processor's cache. XXH3 is read at the speed of
memory (8 GB/s a core, SHA-256 1.3 GB/s) and finds damage and edits alike. Against somebody who edits a shard and its name
and the manifest, no digest kept beside the data helps, SHA-256 neither.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_128

from trainables.arrays import Pixels
from trainables.data.packing.outcomes import Outcome

MOST_ROWS = 512
"""Images of a shard at most."""
SHARD_BYTES = 32 << 20
"""Bytes of a shard's pixels at most, unless a single image has more: some 200 images of 224 pixels."""
BLOCK = 4096
"""What is written past the page cache begins and ends at multiples of so many bytes."""
READ_BYTES = 1 << 20
_LENGTH = 8
_NAME = re.compile(r"shard-(\d{5,})-([0-9a-f]{32})\.rgb")


@dataclass(frozen=True)
class Shard:
    """A shard that was written as a whole.

    Attributes:
        file: its name in the folder of the set.
        rows: its images.
    """

    file: str
    rows: int

    @property
    def digest(self) -> str:
        """The digest that its bytes must have."""
        return _parse_name(self.file)[1]


@dataclass(frozen=True)
class ShardRecord:
    """A whole shard, and how its images were made.

    Attributes:
        number: its place in the set, from 0.
        edge: of its images, pixels.
        outcomes: how each image of its part of the listing was decoded, those that are left out included.
    """

    shard: Shard
    number: int
    edge: int
    outcomes: list[Outcome]

    def fits(self, parts: Sequence[range], edge: int) -> bool:
        """Return whether it is one of the shards of a listing that is cut into ``parts``, of images with this edge."""
        return self.edge == edge and self.number < len(parts) and len(self.outcomes) == len(parts[self.number])


def rows_per_shard(edge: int) -> int:
    """Return how many images of ``edge`` × ``edge`` pixels a shard holds at most."""
    return max(1, min(MOST_ROWS, SHARD_BYTES // (edge * edge * 3)))


def image_digest(image: Pixels) -> bytes:
    """Return the XXH3 (128 bits) of one image, which must be contiguous in memory."""
    return xxh3_128(image.data).digest()


class ShardBuffer:
    """Memory that a shard's images are decoded into. It is used again for the next: fresh memory costs as much as a copy.

    Attributes:
        images: shape (rows, edge, edge, 3).
    """

    def __init__(self, rows: int, edge: int) -> None:
        """Take memory for ``rows`` images of ``edge`` × ``edge`` pixels."""
        # Begins at a page, as writing past the page cache wants, and is private: only then of huge pages, ready at once.
        memory = mmap.mmap(-1, rows * edge * edge * 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
        self.images: Pixels = np.frombuffer(memory, np.uint8).reshape(rows, edge, edge, 3)

    def write(
        self, folder: Path, number: int, decoded: Sequence[tuple[Outcome, bytes]], made_from: dict[str, Any]
    ) -> ShardRecord:
        """Write the images as a shard. It is under its name only once all of it is on the disk.

        Args:
            folder: where.
            number: its place in the set, from 0.
            decoded: of each image its outcome and its ``image_digest``, empty where it did not decode: that row is left out.
            made_from: what the record says of its source and its decoders.

        Returns:
            What was written.

        Raises:
            OSError: if the disk is full or fails.
        """
        outcomes = [outcome for outcome, _ in decoded]
        good = [row for row, (_, digest) in enumerate(decoded) if digest]
        if len(good) < len(decoded):
            self.images[: len(good)] = self.images[good]
        pixels = self.images[: len(good)].reshape(-1).data
        text = json.dumps(
            {**made_from, "edge": self.images.shape[1], "outcomes": [outcome.plain() for outcome in outcomes]}
        ).encode()
        tail = text + len(text).to_bytes(_LENGTH)
        total = xxh3_128(b"".join(digest for _, digest in decoded))
        total.update(tail)
        shard = Shard(f"shard-{number:05}-{total.hexdigest()}.rgb", len(good))
        partial = folder / f"{number:05}.partial"
        with partial.open("wb", buffering=0) as stream:
            done = _write_uncached(stream.fileno(), pixels)
            for content in (pixels[done:], memoryview(tail)):
                _write_all(stream.fileno(), content)
            os.fsync(stream.fileno())
        partial.rename(folder / shard.file)
        return ShardRecord(shard, number, self.images.shape[1], outcomes)


def open_regular(file: Path) -> BufferedReader:
    """Open a file to be read, if it is one: a pipe would be waited for, a device has no end.

    Raises:
        OSError: if there is none, or it is something else.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return os.fdopen(descriptor, "rb")


def map_images(file: Path, rows: int, edge: int) -> Pixels:
    """Map a shard into memory; return its images, shape (rows, edge, edge, 3), without a copy."""
    return np.memmap(file, np.uint8, "r", shape=(rows, edge, edge, 3)).view(np.ndarray)


def digest_of(file: Path, rows: int, edge: int) -> str:
    """Read a shard and return the digest that its name should have.

    Args:
        file: the shard.
        rows: its images.
        edge: their edge, pixels.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is shorter than its images.
    """
    image = edge * edge * 3
    buffer = memoryview(bytearray(image * max(1, min(rows, READ_BYTES // image))))
    total, left = xxh3_128(), rows * image
    with open_regular(file) as stream:
        while left:
            piece = buffer[: min(left, len(buffer))]
            if stream.readinto(piece) < len(piece):
                size = file.stat().st_size
                raise ValueError(f"it is cut off: {size:,} bytes, its images alone have {rows * image:,}")
            for start in range(0, len(piece), image):
                total.update(xxh3_128(piece[start : start + image]).digest())
            left -= len(piece)
        total.update(stream.read())
    return total.hexdigest()


def read_whole(file: Path, made_from: dict[str, Any]) -> ShardRecord | None:
    """Return what a file holds that an earlier preparation left; None if it is no whole shard, or made from other things.

    Args:
        file: any file.
        made_from: what its record must say of its source and its decoders.
    """
    try:
        number, digest = _parse_name(file.name)
        with open_regular(file) as stream:
            end = stream.seek(-_LENGTH, os.SEEK_END)
            length = int.from_bytes(stream.read(_LENGTH))
            if length > end:
                return None
            stream.seek(end - length)
            record = json.loads(stream.read(length))
        edge, outcomes = record.pop("edge"), [Outcome.from_plain(one) for one in record.pop("outcomes")]
        if edge < 1:
            return None
        rows = (end - length) // (edge * edge * 3)
        if record != made_from or digest_of(file, rows, edge) != digest:
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return ShardRecord(Shard(file.name, rows), number, edge, outcomes)


def _parse_name(name: str) -> tuple[int, str]:
    """Return number and digest of a shard by its name. Raises ValueError for another name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no name of a shard")
    return int(match[1]), match[2]


def _write_uncached(descriptor: int, content: memoryview) -> int:
    """Write whole blocks past the page cache; return the bytes written, fewer where the file system has no way to do so.

    Filling the page cache would take a tenth of the time that decoding takes, and evict what others read.
    """
    flags, done = fcntl.fcntl(descriptor, fcntl.F_GETFL), 0
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
        while (whole := (len(content) - done) // BLOCK * BLOCK) > 0:
            done += os.write(descriptor, content[done : done + whole])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return done


def _write_all(descriptor: int, content: memoryview) -> None:
    while len(content):
        content = content[os.write(descriptor, content) :]
