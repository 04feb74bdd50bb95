"""Summaries of a prepared data set and of a split, as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from trainables.data.packing.packed_dataset import Packed
from trainables.data.splits.divided import divided
from trainables.data.splits.grouping import SplitUnits
from trainables.data.splits.splits import Split


def data_summary(name: str, data: Packed) -> Iterator[str]:
    """Yield lines on a data set: images, classes with counts, problems, fingerprint, folder and size.

    Args:
        name: of the data set.
        data: in its prepared form.
    """
    counts = np.bincount(data.labels, minlength=len(data.classes)).tolist()
    units = SplitUnits(divided(data)).of_class().tolist()
    groups = len(set(data.index.column("group").to_pylist()) - {None})
    known = f"{groups:,} groups" if groups else "no groups given"
    yield f"data set {name}: {len(data.labels):,} images of {data.size}×{data.size} pixels, {len(data.classes)} classes, {known}"
    width = max(len(one) for one in data.classes)
    for one, images, held in zip(data.classes, counts, units, strict=True):
        yield f"  {one:<{width}} {images:>9,} images" + (f" in {held:,} groups" if groups else "")
    yield from (f"  {note}" for note in data.notes)
    yield from _problems(data)
    size = sum(file.stat().st_size for file in data.folder.iterdir())
    yield f"fingerprint {data.fingerprint}"
    yield f"{size / 1e6:,.1f} MB in {data.folder}"


def _problems(data: Packed) -> Iterator[str]:
    """Yield the number of problems of each kind, and the first of each."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for problem in data.problems:
        kinds.setdefault(re.split(r" of |: ", problem["what"])[0], []).append(problem)
    yield f"problems: {len(data.problems) or 'none found'}"
    for kind, found in kinds.items():
        yield f"  {kind}: {len(found):,}, the first: {found[0]['image_id']} ({found[0]['what']})"


def split_summary(split: Split) -> Iterator[str]:
    """Yield lines on a split: what was verified, and what limits its scores."""
    yield f"divided: {split.proof}"
    yield from (f"  {note}" for note in split.notes)
