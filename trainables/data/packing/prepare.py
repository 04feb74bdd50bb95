"""Preparing a data set: listed, decoded, written, described. One that was killed goes on with what it had decoded."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from trainables.data.packing.arrow_images import ImageWriter
from trainables.data.packing.decode import UNDECODABLE, UnreadableError, decode_all
from trainables.data.packing.packed_dataset import IMAGES, META, Packed, load
from trainables.data.packing.resume_log import Journal
from trainables.data.readers.base import ImageEntry, Listing
from trainables.data.readers.data_spec import DataSpec
from trainables.errors import UserError
from trainables.hashing import digest, readable

__all__ = ["Packed", "Progress", "load", "prepare"]

CACHE_VERSION = 2
PROGRESS_EVERY = 32
Progress = Callable[[str, int, int], None]
"""Told often: what is prepared, images done, images in all."""
JOURNAL = "journal.jsonl"


def prepare(name: str, spec: DataSpec, root: Path, cache: Path, progress: Progress | None = None) -> Packed:
    """Return the packed form of a data set, making it first where the cache has none.

    Several processes may ask at once: one prepares, the others wait for it. One that was killed or interrupted
    is gone on with; one that cannot succeed (a full disk, too many broken images) leaves nothing behind.

    Raises:
        UserError: if the data are absent, of the wrong layout, too broken, or the disk is too small.
    """
    try:
        listing = spec.listing(root)
    except OSError as error:
        raise UserError(f"cannot read the data set {name}: {error}") from error
    _refuse_repeats(name, listing)
    folder = cache / f"{readable(name)}-{_listing_digest(spec, listing)[:16]}"
    if not (folder / META).is_file():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f"{folder.name}.lock")):
                if not (folder / META).is_file():
                    _pack(name, spec, listing, folder, progress or (lambda *_: None))
        except OSError as error:
            raise UserError(
                f"cannot prepare the data set {name} in {folder.parent}: {error}. Give --storage a place that can hold it"
            ) from error
    return load(folder)


def _pack(name: str, spec: DataSpec, listing: Listing, folder: Path, progress: Progress) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    _clear_abandoned(name, partial)
    partial.mkdir(exist_ok=True)
    try:
        _write(name, spec, listing, partial, progress)
        (partial / JOURNAL).unlink()
        partial.replace(folder)
    except UnreadableError:
        raise  # what is decoded is good, and the source may be back the next time
    except (UserError, OSError):
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _clear_abandoned(name: str, mine: Path) -> None:
    """Delete what killed preparations of an earlier state of the data set left, unless one is under way."""
    for other in mine.parent.glob(f"{readable(name)}-*.partial"):
        if other != mine and re.fullmatch(r"[0-9a-f]{16}", other.stem.removeprefix(f"{readable(name)}-")):
            try:
                with FileLock(other.with_suffix(".lock"), timeout=0):
                    shutil.rmtree(other, ignore_errors=True)
            except Timeout:
                continue


def _write(name: str, spec: DataSpec, listing: Listing, partial: Path, progress: Progress) -> None:
    items = listing.items
    journal = Journal.open(partial / JOURNAL, partial / IMAGES, CACHE_VERSION)
    with ImageWriter(partial / IMAGES, len(items), journal.kept, spec.size) as writer:
        progress(name, len(journal.outcomes), len(items))
        for outcome, image in decode_all(listing, spec.size, start=len(journal.outcomes)):
            item = items[len(journal.outcomes)]
            journal.add(outcome)
            if image is not None and writer.add(image, item.image_id):
                journal.commit(writer.kept)
            if len(journal.outcomes) % PROGRESS_EVERY == 0 or len(journal.outcomes) == len(items):
                progress(name, len(journal.outcomes), len(items))
        outcomes = list(zip(items, journal.outcomes, strict=True))
        problems = [{"image_id": item.image_id, "what": what} for item, what in outcomes if _is_broken(what)]
        _refuse_too_broken(name, spec, len(items), problems)
        writer.finish()
    good = [(item, sha256) for item, sha256 in outcomes if not _is_broken(sha256)]
    meta = {"name": name, "classes": sorted({item.label for item in items}), "size": writer.size}
    _describe(meta, good, problems, partial)


def _is_broken(outcome: str) -> bool:
    return outcome.startswith(UNDECODABLE)


def _describe(
    meta: dict[str, Any], good: Sequence[tuple[ImageEntry, str]], problems: list[dict[str, str]], partial: Path
) -> None:
    """Write what is known of the images: the index, the problems, and last the file that marks it whole."""
    table = _index(good, meta["classes"])
    pq.write_table(table, partial / "index.parquet")
    schema = pa.schema([("image_id", pa.string()), ("what", pa.string())])
    found = pa.Table.from_pylist([*problems, *_duplicates(table)], schema=schema)
    pq.write_table(found, partial / "problems.parquet")
    whole = meta | {"fingerprint": _fingerprint(table, meta["classes"])}
    (partial / META).write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")


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


def _index(good: Sequence[tuple[ImageEntry, str]], classes: Sequence[str]) -> pa.Table:
    number = {name: i for i, name in enumerate(classes)}
    return pa.table(
        {
            "image_id": pa.array([item.image_id for item, _ in good], pa.string()),
            "label": pa.array([number[item.label] for item, _ in good], pa.int64()),
            "group": pa.array([item.group for item, _ in good], pa.string()),
            "part": pa.array([item.part for item, _ in good], pa.string()),
            "sha256": pa.array([sha256 for _, sha256 in good], pa.string()),
        }
    )


def _duplicates(table: pa.Table) -> list[dict[str, str]]:
    first: dict[str, str] = {}
    problems = []
    for image_id, sha256 in zip(table.column("image_id").to_pylist(), table.column("sha256").to_pylist(), strict=True):
        if sha256 in first:
            problems.append({"image_id": image_id, "what": f"duplicate of {first[sha256]} (identical bytes)"})
        first.setdefault(sha256, image_id)
    return problems


def _fingerprint(table: pa.Table, classes: Sequence[str]) -> str:
    total = hashlib.sha256(json.dumps(list(classes)).encode())
    for row in sorted(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)):
        total.update(json.dumps(row).encode())
    return total.hexdigest()


def _listing_digest(spec: DataSpec, listing: Listing) -> str:
    total = hashlib.sha256(digest([CACHE_VERSION, spec.model_dump(mode="json")]).encode())
    lines = (f"{item.image_id}\0{item.label}\0{item.group}\0{item.part}\0{item.stamp}\n" for item in listing.items)
    total.update("".join(lines).encode())
    return total.hexdigest()
