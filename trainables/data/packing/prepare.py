"""Preparing a data set: listed, decoded, written, described. A preparation that was killed goes on with its whole shards."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from trainables.data.packing.decode import UnreadableError
from trainables.data.packing.index import make_index
from trainables.data.packing.manifest import LAYOUT, DamagedDataError, digest_of_bytes, write_manifest
from trainables.data.packing.packed_dataset import INDEX, PROBLEMS, Packed, load
from trainables.data.packing.shard_writer import write_shards
from trainables.data.packing.shards import Shard
from trainables.data.packing.verification import note_written
from trainables.data.readers.base import Listing
from trainables.data.readers.data_spec import DataSpec
from trainables.errors import UserError
from trainables.hashing import digest, readable

__all__ = ["Packed", "Progress", "load", "prepare"]

Progress = Callable[[str, int, int], None]
"""Told often: what is prepared, images done, images in all."""


def prepare(name: str, spec: DataSpec, root: Path, cache: Path, progress: Progress | None = None) -> Packed:
    """Return the prepared form of a data set, every file of it verified, making it first where the cache has none.

    What does not verify is prepared again; ``Packed.repaired`` names it. Several processes may ask at once: one prepares,
    the others wait for it. A preparation that was killed or interrupted is resumed; one that cannot succeed (a full disk,
    too many broken images) leaves nothing behind.

    Args:
        name: what the grid calls the data set.
        spec: how it is read.
        root: folder of the data sets.
        cache: folder of the prepared data sets.
        progress: is told how far it is.

    Raises:
        UserError: if the data are absent, of the wrong layout, too broken, or the disk is too small.
    """
    try:
        listing = spec.listing(root)
    except OSError as error:
        raise UserError(f"cannot read the data set {name}: {error}") from error
    _refuse_repeats(name, listing)
    source = _listing_digest(spec, listing)
    folder = cache / f"{readable(name)}-{source[:16]}"
    found = _open(folder)
    if isinstance(found, Packed):
        return _with_notes(found, listing)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            found = _open(folder)  # another process may have prepared it meanwhile
            if isinstance(found, Packed):
                return _with_notes(found, listing)
            _pack(name, spec, listing, source, folder, progress or (lambda *_: None))
    except OSError as error:
        raise UserError(
            f"cannot prepare the data set {name} in {folder.parent}: {error}. Give --storage a place that can hold it"
        ) from error
    return replace(_with_notes(load(folder), listing), repaired=found)


def _with_notes(data: Packed, listing: Listing) -> Packed:
    """Return a set with the notes of its listing before those of its images: what is skipped may change while they stay."""
    return replace(data, notes=(*listing.notes, *data.notes))


def _open(folder: Path) -> Packed | tuple[str, ...]:
    """Return a prepared set, verified; or what is damaged in it, nothing where there is none."""
    try:
        return load(folder).verify()
    except FileNotFoundError:
        return ()
    except DamagedDataError as error:
        return error.found


def _pack(name: str, spec: DataSpec, listing: Listing, source: str, folder: Path, progress: Progress) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    _clear_abandoned(name, partial)
    partial.mkdir(exist_ok=True)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    for file in folder.glob("*"):  # of a damaged set, whose whole shards are kept
        with suppress(OSError):
            os.link(file, partial / file.name)
    try:
        shards = _write(name, spec, listing, source, partial, progress)
    except UnreadableError:
        raise  # what is decoded is good, and the source may be back the next time
    except (UserError, OSError):
        shutil.rmtree(partial, ignore_errors=True)
        raise
    damaged = folder.with_name(f"{folder.name}.damaged")
    shutil.rmtree(damaged, ignore_errors=True)  # of a process that was killed here
    if folder.exists():
        folder.rename(damaged)  # at once: deleting takes a while, and others may look for the set meanwhile
    partial.rename(folder)
    shutil.rmtree(damaged, ignore_errors=True)
    note_written(folder, shards)


def _clear_abandoned(name: str, mine: Path) -> None:
    """Delete what killed preparations of an earlier state of the data set left, unless one is under way."""
    for other in mine.parent.glob(f"{readable(name)}-*.partial"):
        if other != mine and re.fullmatch(r"[0-9a-f]{16}", other.stem.removeprefix(f"{readable(name)}-")):
            try:
                with FileLock(other.with_suffix(".lock"), timeout=0):
                    shutil.rmtree(other, ignore_errors=True)
            except Timeout:
                continue


def _write(
    name: str, spec: DataSpec, listing: Listing, source: str, partial: Path, progress: Progress
) -> tuple[Shard, ...]:
    items = listing.items
    tell = lambda done: progress(name, done, len(items))  # noqa: E731
    written = write_shards(listing, spec.size, spec.pixel_rules, partial, source, tell)
    contents = make_index(items, written.outcomes, spec)
    _refuse_too_broken(name, spec, len(items), contents.undecodable)
    meta = {
        "name": name,
        "source": source,
        "classes": contents.classes,
        "size": written.edge,
        "fingerprint": contents.fingerprint,
        "notes": contents.notes,
        "shards": {shard.file: shard.rows for shard in written.shards},
        "tables": {
            INDEX: _write_table(partial / INDEX, contents.index),
            PROBLEMS: _write_table(partial / PROBLEMS, contents.problems),
        },
    }
    write_manifest(partial, meta)
    return written.shards


def _write_table(file: Path, table: pa.Table) -> str:
    """Write a table as Parquet; return the digest of the file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    file.write_bytes(sink.getvalue())
    return digest_of_bytes(sink.getvalue())


def _refuse_repeats(name: str, listing: Listing) -> None:
    if len({item.image_id for item in listing.items}) == len(listing.items):
        return
    counts = Counter(item.image_id for item in listing.items)
    repeated = [image_id for image_id, count in counts.items() if count > 1]
    if repeated:
        raise UserError(f"data set {name}: {len(repeated)} images are listed more than once, the first: {repeated[0]}")


def _refuse_too_broken(name: str, spec: DataSpec, images: int, problems: Sequence[dict[str, str]]) -> None:
    if len(problems) == images or len(problems) > spec.max_undecodable * images + (2 if spec.max_undecodable else 0):
        examples = "; ".join(f"{p['image_id']} ({p['what']})" for p in problems[:3])
        raise UserError(
            f"data set {name}: {len(problems)} of {images} images do not decode, more than max_undecodable = {spec.max_undecodable:.1%}. The first: {examples}"
        )


def _listing_digest(spec: DataSpec, listing: Listing) -> str:
    total = hashlib.sha256(digest([LAYOUT, spec.model_dump(mode="json", exclude={"exclude_target"})]).encode())
    lines = (f"{item.image_id}\0{item.label}\0{item.group}\0{item.part}\0{item.stamp}\n" for item in listing.items)
    total.update("".join(lines).encode())
    return total.hexdigest()
