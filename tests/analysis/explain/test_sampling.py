"""Tests of which networks and images are explained."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from analysis.explain.sampling import best_cells, class_numbers, sample
from analysis.results.collect import collect
from analysis.results.predictions import Predictions, softmax
from trainables.errors import UserError
from trainables.store.study import Study

# Class 0: images a to f, said with these probabilities to be class 0; class 1: g, h.
SURE = {"a": 0.9, "b": 0.6, "c": 0.99, "d": 0.2, "e": 0.05, "f": 0.7, "g": 0.3, "h": 0.8}


def predictions() -> Predictions:
    logits = np.array([[np.log(p), np.log(1 - p)] for p in SURE.values()], dtype=np.float32)
    return Predictions(pa.array(list(SURE)), np.array([0] * 6 + [1] * 2), logits)


def test_the_most_confident_right_and_wrong_and_some_of_the_others() -> None:
    found = sample(predictions(), 0, 1, "seed")
    assert [(one.image_id, one.why) for one in found[:2]] == [
        ("c", "confident and right"),
        ("e", "confident and wrong"),
    ]
    assert found[2].why == "drawn at random"
    assert found[2].image_id in {"a", "b", "d", "f"}
    assert [one.explained for one in found[:2]] == [0, 1]
    assert found[1].probability == pytest.approx(0.95, abs=1e-6)
    assert {one.label for one in found} == {0}


def test_the_draw_is_repeatable_and_never_repeats_an_image() -> None:
    drawn = [[one.image_id for one in sample(predictions(), 0, 2, seed)] for seed in ("x", "x", *"abcdefgh")]
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) > 1
    assert all(len(set(one)) == len(one) == 6 for one in drawn)


def test_there_may_be_fewer_than_wanted() -> None:
    assert [one.image_id for one in sample(predictions(), 1, 5, "seed")] == ["g", "h"]
    assert sample(predictions(), 7, 5, "seed") == []


def test_probabilities_of_huge_logits_are_finite() -> None:
    assert softmax(np.array([[1e30, 0.0]], np.float32)).tolist() == [[1.0, 0.0]]


def test_the_best_trial_of_each_row_by_val(made_by_hand: Study) -> None:
    collected = collect(made_by_hand)
    every = best_cells(collected, ["resnet18", "vit_b_32"], [])
    rows = [(cell.planned.architecture, cell.planned.scenario) for cell in every]
    assert rows == list(collected.plan.rows)
    for cell in every:
        of_row = [
            one.candidate.val_f1_macro
            for one in collected.cells
            if (one.planned.architecture, one.planned.scenario) == (cell.planned.architecture, cell.planned.scenario)
        ]
        assert cell.candidate.val_f1_macro == max(of_row)
    assert [cell.planned.scenario for cell in best_cells(collected, ["vit_b_32"], ["PCam"])] == ["PCam"]


def test_without_a_name_it_is_the_row_with_the_best_mean_val_score(made_by_hand: Study) -> None:
    collected = collect(made_by_hand)
    (best,) = best_cells(collected, [], [])
    scores: dict[tuple[str, str], list[float]] = {}
    for cell in collected.chosen:
        row = cell.planned.architecture, cell.planned.scenario
        scores.setdefault(row, []).append(cell.candidate.val_f1_macro)
    assert (best.planned.architecture, best.planned.scenario) == max(scores, key=lambda row: np.mean(scores[row]))


def test_unknown_names_are_refused_with_the_nearest(made_by_hand: Study) -> None:
    collected = collect(made_by_hand)
    with pytest.raises(UserError, match="unknown architecture resnet81; did you mean resnet18") as caught:
        best_cells(collected, ["resnet81", "vgg"], [])
    assert len(caught.value.faults) == 2
    with pytest.raises(UserError, match="unknown scenario PKam; did you mean PCam"):
        best_cells(collected, [], ["PKam"])
    with pytest.raises(UserError, match="unknown class EOO; did you mean EOS"):
        class_numbers(collected.plan.classes, ["EOO"])
    assert class_numbers(collected.plan.classes, ["MON", "EOS"]) == [1, 3]
    assert class_numbers(collected.plan.classes, []) == [0, 1, 2, 3]
