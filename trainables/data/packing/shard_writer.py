"""Decoding a listing into shards: what an earlier preparation left whole is kept, the rest decoded, and written meanwhile."""

from __future__ import annotations

import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
import simplejpeg

from trainables.data.packing.decode import AT_A_TIME, Decoded, ImageDecoder
from trainables.data.packing.outcomes import Outcome
from trainables.data.packing.shards import Shard, ShardBuffer, ShardRecord, read_whole, rows_per_shard
from trainables.data.readers.base import Listing
from trainables.data.readers.pixel_rules import PixelRules
from trainables.errors import UserError


@dataclass(frozen=True)
class WrittenShards:
    """All images of a listing, in shards.

    Attributes:
        edge: of the images, pixels.
        shards: in the order of the listing.
        outcomes: what came of each image of the listing.
    """

    edge: int
    shards: tuple[Shard, ...]
    outcomes: list[Outcome]


def write_shards(
    listing: Listing, size: int | None, rules: PixelRules, folder: Path, source: str, tell: Callable[[int], None]
) -> WrittenShards:
    """Decode a listing into shards, each of so many images of the listing, whether they decode or not.

    A shard that is in the folder already, whole and made from the same source by the same decoders, is kept. Anything
    else there is deleted.

    Args:
        listing: the images.
        size: edge of the square that each becomes, pixels; None: they are squares of one size, and stay so.
        rules: how stored pixels become RGB.
        folder: where.
        source: names the data set, its specification and the state of its files.
        tell: is told how many images are done.

    Raises:
        UserError: if an image is of another size than the others, or the disk is too small.
        UnreadableError: if an image cannot be read. Whole shards stay.
        OSError: if the disk fails.
    """
    made_from = {"source": source, "pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
    found = _whole_shards(folder, made_from)
    with ImageDecoder(listing, size, rules) as decoder:
        edge = size or next((one.edge for one in found), None) or decoder.edge()
        step, images = rows_per_shard(edge), len(listing.items)
        parts = [range(start, min(start + step, images)) for start in range(0, images, step)]
        kept = {one.number: one for one in found if one.fits(parts, edge)}
        _delete_all_but({one.shard.file for one in kept.values()}, folder)
        _refuse_full_disk(folder, edge, images - sum(len(one.outcomes) for one in kept.values()))
        with _Pipeline(decoder, folder, made_from, edge, tell) as pipeline:
            done = pipeline.run(parts, kept)
    ordered = [done[number] for number in range(len(parts))]
    outcomes = [outcome for one in ordered for outcome in one.outcomes]
    return WrittenShards(edge, tuple(one.shard for one in ordered), outcomes)


class _Pipeline:
    """While images are decoded into the memory of one shard, that of the shard before is written."""

    def __init__(
        self, decoder: ImageDecoder, folder: Path, made_from: dict[str, Any], edge: int, tell: Callable[[int], None]
    ) -> None:
        self._decoder, self._folder, self._made_from, self._edge = decoder, folder, made_from, edge
        self._tell = tell
        self._images_done = 0
        self._done: dict[int, ShardRecord] = {}
        self._free: list[ShardBuffer] = []
        self._thread = ThreadPoolExecutor(1)
        self._writing: tuple[ShardBuffer, Future[ShardRecord]] | None = None

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()  # a shard that is decoded is written, whatever ended the preparation

    def run(self, parts: Sequence[range], kept: dict[int, ShardRecord]) -> dict[int, ShardRecord]:
        """Decode and write the shards that are not kept; return all, by number."""
        self._done = dict(kept)
        self._images_done = sum(len(one.outcomes) for one in kept.values())
        self._tell(self._images_done)
        rows = max(map(len, parts), default=1)
        # As many shards at once as keep all cores at work: a large image is a shard of its own.
        at_once = 1 + math.ceil(self._decoder.cores * min(AT_A_TIME, rows) / rows)
        decoding: deque[tuple[int, ShardBuffer, list[Future[list[Decoded]]]]] = deque()
        for number, part in enumerate(parts):
            if number in kept:
                continue
            buffer = self._free.pop() if self._free else ShardBuffer(rows, self._edge)
            decoding.append((number, buffer, self._decoder.start(part, buffer.images)))
            if len(decoding) == at_once:
                self._finish(*decoding.popleft())
        while decoding:
            self._finish(*decoding.popleft())
        self._await_write()
        return self._done

    def _finish(self, number: int, buffer: ShardBuffer, futures: Sequence[Future[list[Decoded]]]) -> None:
        """Wait until a shard is decoded, and have it written."""
        decoded: list[Decoded] = []
        for future in futures:
            decoded += future.result()
            if future is futures[-1]:
                self._await_write()
                written = self._thread.submit(buffer.write, self._folder, number, decoded, self._made_from)
                self._writing = buffer, written
            self._tell(self._images_done + len(decoded))
        self._images_done += len(decoded)

    def _await_write(self) -> None:
        if self._writing is not None:
            buffer, written = self._writing
            record = written.result()
            self._done[record.number] = record
            self._free.append(buffer)
            self._writing = None


def _whole_shards(folder: Path, made_from: dict[str, Any]) -> list[ShardRecord]:
    """Return the shards of a folder that are whole and were made from the same things."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [one for one in pool.map(lambda file: read_whole(file, made_from), folder.iterdir()) if one is not None]


def _delete_all_but(names: set[str], folder: Path) -> None:
    for file in folder.iterdir():
        if file.name not in names:
            file.unlink()


def _refuse_full_disk(folder: Path, edge: int, images: int) -> None:
    needed, free = edge * edge * 3 * images, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder.parent} has {free / 1e6:,.0f} MB free, the packed images need {needed / 1e6:,.0f} MB: give --storage another place, or the data set a smaller `size:`"
        )
