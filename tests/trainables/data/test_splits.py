"""Tests of folds: properties that hold for any data set, and the real one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from trainables.data.packed import Packed, prepare
from trainables.data.splits import Split, SplitSpec, cross_validation, single
from trainables.errors import UserError
from trainables.study import split_digest

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
    return parts


@settings(max_examples=150)
@given(drawn=data_sets(grouped=True), spec=specs)
def test_any_data_set_is_divided_without_a_leak_or_refused(
    in_memory: Make, drawn: dict[str, Any], spec: SplitSpec
) -> None:
    data = in_memory(**drawn)
    try:
        split = cross_validation("cells", data, spec)
    except UserError as error:
        event("refused")
        assert "data set cells" in str(error)
        return
    event("divided")
    check(split, data, spec.folds)
    assert cross_validation("cells", in_memory(**drawn), spec) == split


@settings(max_examples=150)
@given(drawn=data_sets(grouped=False), spec=specs)
def test_classes_keep_their_shares_where_there_are_no_groups(
    in_memory: Make, drawn: dict[str, Any], spec: SplitSpec
) -> None:
    data = in_memory(**drawn)
    try:
        split = cross_validation("cells", data, spec)
    except UserError as error:
        event("refused")
        assert min(np.bincount(drawn["labels"])) < spec.folds or "none is left for" in str(error)
        return
    event("divided")
    for part in check(split, data, spec.folds):
        sides = np.array(part)
        for label in range(len(data.classes)):
            mine = sides[data.labels == label]
            tested, validated, trained = ((mine == side).sum() for side in ("test", "val", "train"))
            assert abs(tested - len(mine) / spec.folds) <= 1
            assert abs(validated - (validated + trained) * spec.val_fraction) <= 1
            assert tested >= 1
            if validated + trained >= 2:
                assert validated >= 1, "a class cannot be seen on val"
                assert trained >= 1, "a class cannot be learnt"


@settings(max_examples=50)
@given(drawn=data_sets(grouped=True), spec=specs)
def test_a_pre_training_set_is_divided_without_a_leak_or_refused(
    in_memory: Make, drawn: dict[str, Any], spec: SplitSpec
) -> None:
    data = in_memory(**drawn)
    try:
        split = single(data, spec)
    except UserError as error:
        event("refused")
        assert "none is left for" in str(error)
        return
    (part,) = parts_of(split, data)
    assert set(part) == {"train", "val"}
    unit = units(data)
    assert len(set(zip(unit, part, strict=True))) == len(set(unit))
    assert single(in_memory(**drawn), spec) == split


def test_patients_of_mixed_classes_are_dealt_out_near_the_shares(in_memory: Make) -> None:
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 150, size=900)
    labels = rng.choice(4, size=900, p=[0.6, 0.25, 0.1, 0.05])
    data = in_memory(labels.tolist(), groups=[f"p{number}" for number in patients])
    for part in check(cross_validation("cells", data, SplitSpec()), data, 5):
        sides = np.array(part)
        for label in range(4):
            mine = sides[labels == label]
            assert abs((mine == "test").mean() - 0.2) < 0.05
            assert abs((mine == "val").mean() - 0.16) < 0.05


def test_a_few_large_patients_do_not_make_the_folds_lopsided(in_memory: Make) -> None:
    groups = [f"large {number // 60}" for number in range(300)] + [None] * 300
    data = in_memory([number % 3 for number in range(600)], groups=groups)
    parts = check(cross_validation("cells", data, SplitSpec()), data, 5)
    assert [part.count("test") for part in parts] == [120] * 5


def test_another_seed_divides_otherwise(in_memory: Make) -> None:
    data = in_memory([number % 2 for number in range(40)])
    digests = {cross_validation("cells", data, SplitSpec(seed=seed)).digest for seed in range(4)}
    assert len(digests) == 4


def test_a_known_split(in_memory: Make) -> None:
    """If it changes, another study of the same data is no longer comparable."""
    data = in_memory(
        [0, 1, 2] * 12,
        groups=[None, "p1", "p2", "p2", "p3", None] * 6,
        hashes=[f"{number % 33}" for number in range(36)],
    )
    assert (
        cross_validation("cells", data, SplitSpec(folds=3)).digest
        == "990d70d552dc3ac0a56b920f4c5ff133de4c889982658078a23346431d6fd6fb"
    )
    assert single(data, SplitSpec()).digest == "c24bb00b44fc88a6f5666670a5ea710ac5543c46fbfab5305038ae301fc4dc8d"


def test_copies_and_groups_hang_together_in_chains(in_memory: Make) -> None:
    """Image 0 and 1 are one patient's, 1 and 2 the same bytes, 2 and 3 another patient's."""
    hashes = ["x", "same", "same", "y", *map(str, range(20))]
    groups = ["p1", "p1", "p2", "p2", *[None] * 20]
    data = in_memory([0, 1] * 12, groups=groups, hashes=hashes)
    split = cross_validation("cells", data, SplitSpec(folds=4))
    check(split, data, 4)
    shown = split.table.slice(0, 24).column("group").to_pylist()
    assert shown[:4] == ["p1"] * 4
    assert shown[4:] == [None] * 20


def test_copies_without_a_group_are_shown_as_one(in_memory: Make) -> None:
    data = in_memory([0, 1] * 6, hashes=["same", *map(str, range(10)), "same"])
    groups = cross_validation("cells", data, SplitSpec(folds=2)).table.slice(0, 12).column("group").to_pylist()
    assert groups[0] == groups[11] is not None
    assert groups[1:11] == [None] * 10


@pytest.mark.parametrize(
    ("labels", "groups", "words"),
    [
        ([0] * 9 + [1] * 4 + [2] * 3, None, ["5 folds", "class 1 (4)", "class 2 (3)"]),
        ([0] * 9, None, ["1 class", "class 0", "needs two"]),
        ([0, 1] * 8, ["p1", "p2", "p3", "p4"] * 4, ["4 groups cannot fill 5 folds"]),
    ],
    ids=["small classes", "one class", "few groups"],
)
def test_what_cannot_be_divided_is_refused(
    in_memory: Make, labels: list[int], groups: Sequence[str] | None, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        cross_validation("cells", in_memory(labels, groups=groups), SplitSpec(folds=5))
    assert all(word in str(caught.value) for word in ["data set cells", *words])


def test_all_faults_are_told_at_once(in_memory: Make) -> None:
    with pytest.raises(UserError) as caught:
        cross_validation("cells", in_memory([0, 0], groups=["p", "p"]), SplitSpec(folds=3))
    assert len(caught.value.faults) == 3


def test_a_part_without_an_image_is_refused(in_memory: Make) -> None:
    """Two classes of two images in two folds leave one image a class to train on, and none to choose on."""
    with pytest.raises(UserError, match=r"data set cells, fold 0: .* none is left for val\. .*val_fraction"):
        cross_validation("cells", in_memory([0, 0, 1, 1]), SplitSpec(folds=2))
    with pytest.raises(UserError, match="none is left for val"):
        single(in_memory([0, 1] * 5, groups=["one patient"] * 10), SplitSpec())


def test_a_set_that_comes_divided_keeps_its_parts(in_memory: Make) -> None:
    parts = ["train", "train", "val", "test", "train", "val"]
    data = in_memory([0, 1] * 3, parts=parts)
    for seed in (0, 1):
        assert parts_of(single(data, SplitSpec(seed=seed)), data) == [parts]


def test_what_is_in_train_as_well_is_taken_out_of_val(in_memory: Make) -> None:
    """Some published sets have copies, or patients, on both sides. A score on them would be too good."""
    data = in_memory(
        [0, 1] * 4,
        parts=["train", "train", "val", "val", "val", "val", "test", "test"],
        hashes=["same", "a", "same", "b", "c", "d", "e", "f"],
        groups=[None, "p1", None, "p1", "p2", None, None, "p2"],
    )
    (found,) = parts_of(single(data, SplitSpec()), data)
    assert found == ["train", "train", "train", "train", "val", "val", "test", "test"]


def test_a_set_whose_val_is_all_copies_is_refused(in_memory: Make) -> None:
    parts = ["train", "train", "val", "val"]
    with pytest.raises(UserError, match="none is left for val"):
        single(in_memory([0, 1, 0, 1], parts=parts, hashes=["a", "b", "a", "b"]), SplitSpec())


@pytest.mark.parametrize("parts", [["train", None] * 10, ["train", "test"] * 10, ["val"] * 20])
def test_a_set_that_is_not_divided_in_full_is_dealt_out(in_memory: Make, parts: list[str | None]) -> None:
    data = in_memory([0, 1] * 10, parts=parts)
    (found,) = parts_of(single(data, SplitSpec(val_fraction=0.2)), data)
    assert (found.count("train"), found.count("val")) == (16, 4)


# Real data


@pytest.fixture(scope="module")
def real_cells(shared_data: Path, data_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    spec = data_spec(reader="bone_marrow", groups="groups.csv", size=32)
    return prepare("cells", spec, shared_data, tmp_path_factory.mktemp("cache"))


def test_groups_of_real_cells_never_cross(real_cells: Packed) -> None:
    split = cross_validation("bone_marrow", real_cells, SplitSpec())
    check(split, real_cells, 5)
    rows = split.table.to_pylist()
    for fold in range(5):
        sides = defaultdict(set)
        for row in rows:
            if row["fold"] == fold:
                sides[row["group"]].add(row["split"])
        assert len(sides) == 298
        assert all(len(side) == 1 for side in sides.values())


def test_identical_real_cells_share_a_group(
    real_cells: Packed, shared_data: Path, data_spec: Any, tmp_path: Path
) -> None:
    without_groups = prepare("cells", data_spec(reader="bone_marrow", size=32), shared_data, tmp_path)
    for data, group in ((real_cells, "cell_112"), (without_groups, "identical-")):
        rows = cross_validation("bone_marrow", data, SplitSpec()).table.to_pylist()
        twins = [row for row in rows if row["image_id"].endswith(("LYT_00044.jpg", "LYT_00047.jpg"))]
        assert len(twins) == 10
        assert len({row["group"] for row in twins}) == 1
        assert str(twins[0]["group"]).startswith(group)
        assert all(len({row["split"] for row in twins if row["fold"] == fold}) == 1 for fold in range(5))


def test_classes_of_real_cells_keep_their_shares(real_cells: Packed) -> None:
    counts = np.bincount(real_cells.labels)
    for part in parts_of(cross_validation("bone_marrow", real_cells, SplitSpec()), real_cells):
        tested = np.bincount(real_cells.labels[np.array(part) == "test"])
        assert np.abs(tested - counts / 5).max() <= 1


def test_real_patches_keep_their_own_parts(shared_data: Path, data_spec: Any, tmp_path: Path) -> None:
    data = prepare("pcam", data_spec(reader="pcam"), shared_data, tmp_path)
    (part,) = parts_of(single(data, SplitSpec()), data)
    assert part == data.index.column("part").to_pylist()
    assert (part.count("train"), part.count("val"), part.count("test")) == (1200, 200, 200)
