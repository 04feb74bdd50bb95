"""Tests of rare classes and few groups: what is refused, and what is noted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.trainables.support.split_checks import Make, check
from trainables.data.splits.class_coverage import refuse_unlearnable
from trainables.data.splits.divided import divided
from trainables.data.splits.splits import SplitSpec, cross_validation
from trainables.errors import UserError


@pytest.mark.parametrize(
    ("labels", "groups", "words"),
    [
        ([0] * 9 + [1] * 4 + [2] * 3, None, ["5 folds", "class 1 (4)", "class 2 (3)"]),
        ([0] * 9, None, ["1 class", "class 0", "needs two"]),
        ([0, 1] * 8, ["p1", "p2", "p3", "p4"] * 4, ["4 groups cannot fill 5 folds"]),
        (
            [0, 1] * 10 + [2] * 6,
            [None] * 20 + ["p1"] * 6,
            ["all images of one group in class class 2 (6 images): no fold can", "`leave_out:`"],
        ),
    ],
    ids=["small classes", "one class", "few groups", "a class of one group"],
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


def test_a_class_of_few_groups_is_divided_and_what_it_lacks_is_said(in_memory: Make) -> None:
    """Two patients have the class: two folds test it, and train on the other patient; no fold shows it on val too."""
    labels, groups = [0, 1] * 20 + [2] * 10, [f"p{number // 2}" for number in range(40)] + ["a"] * 5 + ["b"] * 5
    split = cross_validation("cells", in_memory(labels, groups=groups), SplitSpec(folds=4))
    check(split, in_memory(labels, groups=groups), 4)
    (untested,) = [note for note in split.notes if "absent from test" in note]
    assert untested.startswith("class class 2 (10 images in 2 groups): absent from test in fold ")
    assert untested.endswith(": its recall there is 0/0, counted as 0")
    assert split.proof == "0 of 22 groups shared between train, val and test, 4 folds; every image tested once"


def test_the_two_patients_of_a_class_are_tested_in_two_folds(in_memory: Make) -> None:
    """Both hold much of a class that only one fold lacks: going there both, theirs would never be learnt and tested."""
    labels = [0] * 60 + [0] * 20 + [2] + [0] * 10 + [2] + [0, 1] * 6
    groups = ["large"] * 60 + ["a"] * 21 + ["b"] * 11 + [None] * 12
    split = cross_validation("cells", in_memory(labels, groups=groups), SplitSpec(folds=2))
    first, second = check(split, in_memory(labels, groups=groups), 2)
    assert {first[80], first[91]} >= {"test"} != {first[80], first[91]}
    assert {second[80], second[91]} >= {"test"} != {second[80], second[91]}


def test_a_class_that_falls_into_one_fold_is_refused(in_memory: Make) -> None:
    """Trained on in one fold, tested in the other, and never both."""
    data = in_memory([0, 1] * 20)
    parts = np.full((2, 40), 0, dtype=np.int8)
    parts[0, data.labels == 1] = 2
    with pytest.raises(UserError, match=r"no fold both trains on and tests class class 0, class 1: .*leave_out"):
        refuse_unlearnable("cells", divided(data), parts)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_eight_images_is_tested_shown_and_learnt_in_every_fold(
    in_memory: Make, fraction: float, seed: int
) -> None:
    """As the rarest class of the bone-marrow set in five folds."""
    data = in_memory([0] * 400 + [1] * 8)
    split = cross_validation("cells", data, SplitSpec(val_fraction=fraction, seed=seed))
    for part in check(split, data, 5):
        tested, validated, trained = (part[400:].count(side) for side in ("test", "val", "train"))
        assert tested in (1, 2)
        assert validated == pytest.approx((8 - tested) * fraction, abs=1)
        assert min(validated, trained) >= 1
    (note,) = split.notes
    assert note.startswith("class class 1 (8 images): 1 to 2 test and ")
    assert split.proof.startswith("no groups are given: 0 of 408 images shared")


def test_the_last_image_of_a_class_trains(in_memory: Make) -> None:
    """Two images in two folds: one is tested, the other trains, whatever val would take; and that is said."""
    data = in_memory([0] * 20 + [1] * 2)
    split = cross_validation("cells", data, SplitSpec(folds=2, val_fraction=0.9))
    assert [sorted(part[20:]) for part in check(split, data, 2)] == [["test", "train"]] * 2
    assert any("absent from val in fold 0, 1: it has no part in what is chosen there" in note for note in split.notes)
