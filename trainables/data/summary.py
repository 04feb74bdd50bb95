"""What a prepared data set holds, as lines to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from trainables.data.packing.packed_dataset import Packed
from trainables.data.splits.grouping import SplitUnits
from trainables.data.splits.splits import Split


def data_summary(name: str, data: Packed) -> Iterator[str]:
    """Yield what a data set holds: images, classes with counts, problems, fingerprint, where it lies and how large it is."""
    units = SplitUnits(data)
    counts, apart = np.bincount(data.labels, minlength=len(data.classes)).tolist(), units.of_class().tolist()
    groups = len(set(data.index.column("group").to_pylist()) - {None})
    known = f"{groups:,} groups" if groups else "no groups given"
    yield f"data set {name}: {len(data.labels):,} images of {data.size}×{data.size} pixels, {len(data.classes)} classes, {known}"
    width = max(len(one) for one in data.classes)
    for one, images, held in zip(data.classes, counts, apart, strict=True):
        yield f"  {one:<{width}} {images:>9,} images" + (f" in {held:,} groups" if groups else "")
    yield from _problems(data)
    size = sum(file.stat().st_size for file in data.folder.iterdir())
    yield f"fingerprint {data.fingerprint}"
    yield f"{size / 1e6:,.1f} MB in {data.folder}"


def _problems(data: Packed) -> Iterator[str]:
    """Yield how many problems there are of each kind, and the first of each."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for problem in data.problems:
        kinds.setdefault(re.split(r" of |: ", problem["what"])[0], []).append(problem)
    yield f"problems: {len(data.problems) or 'none found'}"
    for kind, found in kinds.items():
        yield f"  {kind}: {len(found):,}, the first: {found[0]['image_id']} ({found[0]['what']})"


def divided(split: Split) -> Iterator[str]:
    """Yield what a split promises, and what it cannot give."""
    yield f"divided: {split.proof}"
    yield from (f"  {note}" for note in split.notes)
