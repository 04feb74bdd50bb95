"""Tests of the split of a pre-training set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings

from tests.trainables.support.split_checks import Make, data_sets, parts_of, specs, units
from trainables.data.packing.prepare import prepare
from trainables.data.splits.splits import SplitSpec, cross_validation, train_val_split
from trainables.errors import UserError


@settings(max_examples=50)
@given(drawn=data_sets(grouped=True), spec=specs)
def test_a_pre_training_set_is_divided_without_a_leak_or_refused(
    in_memory: Make, drawn: dict[str, Any], spec: SplitSpec
) -> None:
    data = in_memory(**drawn)
    try:
        split = train_val_split(data, spec)
    except UserError as error:
        event("refused")
        assert "none is left for" in str(error)
        return
    (part,) = parts_of(split, data)
    assert set(part) == {"train", "val"}
    unit = units(data)
    assert len(set(zip(unit, part, strict=True))) == len(set(unit))
    assert train_val_split(in_memory(**drawn), spec) == split


def test_a_part_without_an_image_is_refused(in_memory: Make) -> None:
    """Two classes of two images in two folds leave one image a class to train on, and none to choose on."""
    with pytest.raises(UserError, match=r"data set cells, fold 0: .* none is left for val\. .*val_fraction"):
        cross_validation("cells", in_memory([0, 0, 1, 1]), SplitSpec(folds=2))
    with pytest.raises(UserError, match="none is left for val"):
        train_val_split(in_memory([0, 1] * 5, groups=["one patient"] * 10), SplitSpec())


def test_a_set_that_comes_divided_keeps_its_parts(in_memory: Make) -> None:
    parts = ["train", "train", "val", "test", "train", "val"]
    data = in_memory([0, 1] * 3, parts=parts)
    for seed in (0, 1):
        assert parts_of(train_val_split(data, SplitSpec(seed=seed)), data) == [parts]


def test_what_is_in_train_as_well_is_taken_out_of_val(in_memory: Make) -> None:
    """Some published sets have copies, or patients, on both sides. A score on them would be too good."""
    data = in_memory(
        [0, 1] * 4,
        parts=["train", "train", "val", "val", "val", "val", "test", "test"],
        hashes=["same", "a", "same", "b", "c", "d", "e", "f"],
        groups=[None, "p1", None, "p1", "p2", None, None, "p2"],
    )
    split = train_val_split(data, SplitSpec())
    (found,) = parts_of(split, data)
    assert found == ["train", "train", "train", "train", "val", "val", "test", "test"]
    assert split.notes == ("2 images of its val part share a group or their bytes with train: moved to train",)
    assert split.proof == "0 of 2 groups and 0 of 1 sets of identical images shared between train and val"


def test_a_set_whose_val_is_all_copies_is_refused(in_memory: Make) -> None:
    parts = ["train", "train", "val", "val"]
    with pytest.raises(UserError, match="none is left for val"):
        train_val_split(in_memory([0, 1, 0, 1], parts=parts, hashes=["a", "b", "a", "b"]), SplitSpec())


@pytest.mark.parametrize("parts", [["train", None] * 10, ["train", "test"] * 10, ["val"] * 20])
def test_a_set_that_is_not_divided_in_full_is_dealt_out(in_memory: Make, parts: list[str | None]) -> None:
    data = in_memory([0, 1] * 10, parts=parts)
    split = train_val_split(data, SplitSpec(val_fraction=0.2))
    (found,) = parts_of(split, data)
    assert any("parts only: divided anew" in note for note in split.notes)
    assert (found.count("train"), found.count("val")) == (16, 4)


def test_real_patches_keep_their_own_parts(shared_data: Path, data_spec: Any, tmp_path: Path) -> None:
    data = prepare("pcam", data_spec(reader="pcam"), shared_data, tmp_path)
    (part,) = parts_of(train_val_split(data, SplitSpec()), data)
    assert part == data.index.column("part").to_pylist()
    assert (part.count("train"), part.count("val"), part.count("test")) == (1200, 200, 200)
