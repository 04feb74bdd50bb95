"""The tables of a prepared data set, made of its listing and of what came of each image: index, problems, fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from trainables.data.packing.copies import linked_copies
from trainables.data.packing.outcomes import Outcome
from trainables.data.readers.base import DataSource, ImageEntry

HASHED = ("image_id", "label", "group", "part", "sha256")
"""Columns of the index that are in the fingerprint; beside them only what the reading rules did, where they did anything."""
UNDECODABLE = "undecodable: "
DARK = 1 / 8
"""Share of the type's range below which the highest value of a scaled set is said: most of its 8 bits stay unused."""

Problem = dict[str, str]


@dataclass(frozen=True)
class Contents:
    """What a prepared data set says of its images.

    Attributes:
        classes: names, sorted; ``label`` is an index into them.
        index: see ``Packed.index``.
        problems: image_id, what.
        undecodable: the problems of images that do not decode.
        fingerprint: see ``Packed``.
        notes: what the reading rules did, and what else is worth saying: a sentence for each kind.
    """

    classes: list[str]
    index: pa.Table
    problems: pa.Table
    undecodable: list[Problem]
    fingerprint: str
    notes: list[str]


def make_index(items: Sequence[ImageEntry], outcomes: Sequence[Outcome], spec: DataSource) -> Contents:
    """Make the tables of a prepared data set.

    Args:
        items: the listing.
        outcomes: what came of each.
        spec: says what counts as a copy, and what is kept.
    """
    undecodable = [
        {"image_id": item.image_id, "what": UNDECODABLE + outcome.fault}
        for item, outcome in zip(items, outcomes, strict=True)
        if outcome.fault
    ]
    good = [(item, outcome) for item, outcome in zip(items, outcomes, strict=True) if not outcome.fault]
    classes = sorted({item.label for item in items})
    table = _table(good, classes)
    by_pixels = spec.duplicates == "pixels"
    copies = linked_copies(table) if by_pixels else [None] * len(good)
    contradicting = _contradicting(table, "pixels" if by_pixels else "sha256", classes)
    left_out = {} if "contradicting" in spec.keep else contradicting
    columns = {
        "copies": copies,
        "left_out": [left_out.get(row) for row in range(len(good))],
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values, pa.string()))
    problems = [*undecodable, *_duplicates(table), *_said(table, left_out)]
    schema = pa.schema([("image_id", pa.string()), ("what", pa.string())])
    notes = [*_reading_notes(good), *_copy_notes(table, contradicting, bool(left_out))]
    return Contents(
        classes, table, pa.Table.from_pylist(problems, schema), undecodable, _fingerprint(table, classes), notes
    )


def _table(good: Sequence[tuple[ImageEntry, Outcome]], classes: Sequence[str]) -> pa.Table:
    number = {name: i for i, name in enumerate(classes)}
    columns = {
        "image_id": [item.image_id for item, _ in good],
        "label": [number[item.label] for item, _ in good],
        "group": [item.group for item, _ in good],
        "part": [item.part for item, _ in good],
        "sha256": [outcome.sha256 for _, outcome in good],
        "touched": [outcome.touched or None for _, outcome in good],
        "pixels": [outcome.pixels for _, outcome in good],
        "likeness": [outcome.likeness or None for _, outcome in good],
    }
    return pa.table(
        {
            name: pa.array(values, pa.int64() if name == "label" else pa.string(), from_pandas=False)
            for name, values in columns.items()
        }
    )


def _fingerprint(table: pa.Table, classes: Sequence[str]) -> str:
    total = hashlib.sha256(json.dumps(list(classes)).encode())
    touched = table.column("touched").to_pylist()
    rows = zip(*(table.column(name).to_pylist() for name in HASHED), strict=True)
    lines = ([*row, done] if done else list(row) for row, done in zip(rows, touched, strict=True))
    for line in sorted(lines, key=lambda line: line[0]):
        total.update(json.dumps(line).encode())
    return total.hexdigest()


def _duplicates(table: pa.Table) -> Iterator[Problem]:
    """Yield a problem for each image that is a copy of an earlier one: of its bytes, its pixels, or nearly."""
    first: dict[tuple[str, str], str] = {}
    kinds = {"sha256": "duplicate of {} (identical bytes)", "pixels": "duplicate of {} (identical pixels)"}
    kinds |= {"copies": "near copy of {} (re-encoded, scaled, flipped or turned)"}
    if table.column("copies").null_count == len(table):
        del kinds["pixels"]
    columns = [table.column(name).to_pylist() for name in kinds]
    for image_id, *values in zip(table.column("image_id").to_pylist(), *columns, strict=True):
        named = False
        for (kind, sentence), value in zip(kinds.items(), values, strict=True):
            if value is None:
                continue
            earlier = first.setdefault((kind, value), image_id)
            if earlier != image_id and not named:
                yield {"image_id": image_id, "what": sentence.format(earlier)}
                named = True


def _contradicting(table: pa.Table, column: str, classes: Sequence[str]) -> dict[int, str]:
    """Return row -> what is wrong, for images that are identical and carry different labels."""
    rows = defaultdict[str, list[int]](list)
    for row, value in enumerate(table.column(column).to_pylist()):
        rows[value].append(row)
    labels, ids = table.column("label").to_pylist(), table.column("image_id").to_pylist()
    found: dict[int, str] = {}
    for same in rows.values():
        if len({labels[row] for row in same}) > 1:
            text = ", ".join(f"{ids[row]} is {classes[labels[row]]}" for row in same[:4])
            found |= dict.fromkeys(same, f"labels contradict: the same image, {text}")
    return found


def _said(table: pa.Table, left_out: dict[int, str]) -> list[Problem]:
    ids = table.column("image_id")
    return [{"image_id": ids[row].as_py(), "what": f"left out: {what}"} for row, what in sorted(left_out.items())]


def _reading_notes(good: Sequence[tuple[ImageEntry, Outcome]]) -> Iterator[str]:
    said = defaultdict[str, list[str]](list)
    for item, outcome in good:
        for what in (*filter(None, outcome.touched.split("; ")), *filter(None, [outcome.remark])):
            said[what].append(item.image_id)
    for what, ids in sorted(said.items()):
        yield f"{what}: {len(ids):,} images, e.g. {ids[0]}"
    peaks = [outcome.peak for _, outcome in good if outcome.peak is not None]
    if peaks and max(peaks) < DARK:
        yield (
            f"the highest value of the images scaled by their type's range is {max(peaks):.1%} of it: they are nearly black. "
            "Give the data set `depth: [low, high]` with the range that is used"
        )


def _copy_notes(table: pa.Table, contradicting: dict[int, str], are_left_out: bool) -> Iterator[str]:
    if contradicting:
        what = "left out; `keep: [contradicting]` uses them" if are_left_out else "used with both"
        yield f"labels contradict in {len(contradicting):,} images ({what}): {next(iter(contradicting.values()))}"
    sets = defaultdict[str, int](int)
    for name in table.column("copies").to_pylist():
        if name is not None:
            sets[name] += 1
    if sets:
        yield f"{sum(sets.values()):,} images are in {len(sets):,} sets of copies (of bytes, pixels or nearly), kept together in the split"
