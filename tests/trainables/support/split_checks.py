"""What every split must hold, checked independently of the code that makes it; and data sets drawn at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from trainables.data.packing.prepare import Packed
from trainables.data.splits.splits import Split, SplitSpec
from trainables.store.study import split_digest

Make = Callable[..., Packed]
Rows = list[dict[str, Any]]


@st.composite
def data_sets(draw: Any, grouped: bool) -> dict[str, Any]:
    """Draw labels, groups and hashes: classes of any size, patients of any mix, copies within and between them."""
    sizes = draw(st.lists(st.integers(1, 25), min_size=2, max_size=5))
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    if not grouped:
        return {"labels": draw(st.permutations(labels)), "groups": None, "hashes": None}
    count = len(labels)
    patients = draw(st.integers(1, count))
    group = st.none() | st.integers(0, patients - 1).map("patient {}".format)
    groups = draw(st.lists(group, min_size=count, max_size=count))
    copies = draw(st.lists(st.integers(0, 3 * count), min_size=count, max_size=count))
    return {"labels": labels, "groups": groups, "hashes": [f"sha {number}" for number in copies]}


specs = st.builds(
    SplitSpec,
    folds=st.integers(2, 6),
    val_fraction=st.sampled_from([0.05, 0.1, 0.2, 0.25, 0.5, 0.7, 0.9]),
    seed=st.integers(0, 3),
)


def units(data: Packed) -> list[int]:
    """Number the sets of images that hang together by group or bytes: by spreading, not as the code does it."""
    groups, hashes = data.index.column("group").to_pylist(), data.index.column("sha256").to_pylist()
    ties = defaultdict(list)
    for image, (group, sha256) in enumerate(zip(groups, hashes, strict=True)):
        ties["bytes", sha256].append(image)
        if group is not None:
            ties["group", group].append(image)
    unit = list(range(len(groups)))
    while True:
        before = list(unit)
        for together in ties.values():
            lowest = min(unit[image] for image in together)
            for image in together:
                unit[image] = lowest
        if unit == before:
            return unit


def parts_of(split: Split, data: Packed) -> list[list[str]]:
    """Return, for each fold, the part of each image; check that every image is in it exactly once."""
    rows: Rows = split.table.to_pylist()
    ids = data.index.column("image_id").to_pylist()
    folds = sorted({row["fold"] for row in rows})
    assert folds == list(range(len(folds)))
    result = []
    for fold in folds:
        part = {row["image_id"]: row["split"] for row in rows if row["fold"] == fold}
        assert sum(row["fold"] == fold for row in rows) == len(ids)
        assert part.keys() == set(ids)
        result.append([part[image_id] for image_id in ids])
    labels = dict(zip(ids, data.labels.tolist(), strict=True))
    assert all(row["label"] == labels[row["image_id"]] for row in rows)
    return result


def check(split: Split, data: Packed, folds: int) -> list[list[str]]:
    """Check what holds for every split; return the part of each image in each fold."""
    parts = parts_of(split, data)
    assert len(parts) == folds
    assert [row.count("test") for row in zip(*parts, strict=True)] == [1] * len(data.labels), "tested once each"
    unit = units(data)
    for part in parts:
        assert set(part) == {"train", "val", "test"}
        sides = defaultdict(set)
        for image, side in enumerate(part):
            sides[unit[image]].add(side)
        assert all(len(side) == 1 for side in sides.values()), "a group or a copy lies on two sides"
    assert split.digest == split_digest(split.table)
    assert split.proof.startswith(("0 of ", "no groups are given: 0 of "))
    assert split.proof.endswith(f" shared between train, val and test, {folds} folds; every image tested once")
    check_classes(split, data, parts)
    return parts


def check_classes(split: Split, data: Packed, parts: list[list[str]]) -> None:
    """Check that every class can be learnt where val shows it, and that what a fold lacks is said, and only that."""
    for label, name in enumerate(data.classes):
        notes = [note for note in split.notes if note.startswith(f"class {name} (")]
        held = [{side for side, own in zip(part, data.labels, strict=True) if own == label} for part in parts]
        assert any({"train", "test"} <= sides for sides in held), "a class has no score that means anything"
        for side in ("train", "val", "test"):
            lacking = ", ".join(str(fold) for fold, sides in enumerate(held) if side not in sides)
            assert any(f"absent from {side} in fold {lacking}: " in note for note in notes) == bool(lacking)
            assert any(f"absent from {side}" in note for note in notes) == bool(lacking)
        assert all("train" in sides for sides in held if "val" in sides), "val holds all of a class"
