"""Tests of the choice of a learning rate."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.store.selection import Candidate, select, selection_table


def cell(rate: float, score: float, **where: Any) -> Candidate:
    place: dict[str, Any] = {"architecture": "vit", "scenario": "PCam", "fold": 0, "seed": 0} | where
    return Candidate(**place, key=f"key of {place} at {rate}", learning_rate=rate, val_f1_macro=score)


candidates = st.lists(
    st.builds(
        lambda architecture, scenario, fold, seed, rate, score: cell(
            rate, score, architecture=architecture, scenario=scenario, fold=fold, seed=seed
        ),
        st.sampled_from(["vit", "resnet"]),
        st.sampled_from(["Random", "PCam"]),
        st.integers(0, 2),
        st.integers(0, 1),
        st.sampled_from([0.001, 0.002, 0.004]),
        st.sampled_from([0.0, 0.5, 0.75]),
    ),
    unique_by=lambda c: c.key,
)


def test_the_highest_val_score_is_chosen() -> None:
    cells = [cell(0.001, 0.7), cell(0.002, 0.9), cell(0.004, 0.8)]
    (choice,) = select(cells)
    assert choice.chosen is cells[1]
    assert choice.candidates == tuple(cells)


def test_the_lower_rate_is_chosen_on_a_tie() -> None:
    (choice,) = select([cell(0.004, 0.9), cell(0.001, 0.9), cell(0.002, 0.9)])
    assert choice.chosen.learning_rate == 0.001


@pytest.mark.parametrize("axis", [{"architecture": "resnet"}, {"scenario": "CD"}, {"fold": 1}, {"seed": 1}])
def test_cells_that_differ_in_more_than_the_rate_do_not_compete(axis: dict[str, Any]) -> None:
    choices = select([cell(0.001, 0.1), cell(0.002, 0.9, **axis), cell(0.004, 0.2), cell(0.008, 0.8, **axis)])
    assert [choice.chosen.learning_rate for choice in choices] == [0.004, 0.002]


def test_nothing_gives_no_choice() -> None:
    assert select([]) == []
    assert selection_table([]).num_rows == 0


@given(candidates, st.randoms(use_true_random=False))
def test_every_place_gets_its_best_cell_in_any_order(cells: list[Candidate], shuffle: random.Random) -> None:
    def place(candidate: Candidate) -> tuple[Any, ...]:
        return candidate.architecture, candidate.scenario, candidate.fold, candidate.seed

    choices = select(cells)
    assert [place(choice.chosen) for choice in choices] == list(dict.fromkeys(map(place, cells)))
    for choice in choices:
        rivals = [candidate for candidate in cells if place(candidate) == place(choice.chosen)]
        best = max(rival.val_f1_macro for rival in rivals)
        assert choice.chosen.val_f1_macro == best
        assert choice.chosen.learning_rate == min(r.learning_rate for r in rivals if r.val_f1_macro == best)
        assert list(choice.candidates) == rivals
    shuffled = list(cells)
    shuffle.shuffle(shuffled)
    assert {choice.chosen for choice in select(shuffled)} == {choice.chosen for choice in choices}


def test_the_table_says_what_was_chosen_from_what() -> None:
    cells = [cell(0.001, 0.7), cell(0.002, 0.9)]
    assert selection_table(select(cells)).to_pylist() == [
        {
            "architecture": "vit",
            "scenario": "PCam",
            "fold": 0,
            "seed": 0,
            "chosen": cells[1].key,
            "learning_rate": 0.002,
            "candidates": [cells[0].key, cells[1].key],
            "learning_rates": [0.001, 0.002],
            "val_f1_macro": [0.7, 0.9],
        }
    ]
