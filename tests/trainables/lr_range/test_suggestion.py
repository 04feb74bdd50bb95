"""Tests of the choice of a rate from a curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.arrays import Floats as FloatArray
from trainables.lr_range import suggestion
from trainables.lr_range.suggestion import choose, halfway, steepest, steepest_per_step, tenth, valley
from trainables.specs import Ramp


def ramp(**fields: Any) -> Ramp:
    return Ramp(**({"start": 0.01, "end": 1.0, "fallback": 0.123} | fields))


def valley_of_fastai(losses: list[float]) -> int:
    """The rule as fastai writes it (schedule.py, `valley`), quadratic; of equal lengths the first."""
    n = len(losses)
    lds = [1] * n
    before = [-1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i], before[i] = lds[j] + 1, j
    end = int(np.argmax(lds))
    start = end
    while before[start] >= 0:
        start = before[start]
    sections = (end - start) / 3
    return start + int(sections) + int(sections / 2)


RATES = np.linspace(0.01, 1.0, 12)
FALLS = np.array([3.0, 3.1, 3.0, 2.9, 2.6, 1.8, 1.6, 1.5, 1.45, 1.5, 2.0, 4.0])


def test_the_steepest_point_is_where_the_loss_falls_fastest() -> None:
    choice = choose(RATES, FALLS, ramp())
    assert choice.place == steepest(RATES, FALLS) == 4  # (1.8 - 2.9) / 2 is the largest fall about a point
    assert choice.learning_rate == RATES[4]
    assert choice.rule == "steepest"
    assert "falls fastest per unit of rate: 2.6, on the way from 3 to 1.45" in choice.reason


def test_half_way_down_is_the_first_point_below_the_middle_of_peak_and_minimum() -> None:
    choice = choose(RATES, FALLS, ramp(rule="halfway"))
    assert choice.place == halfway(FALLS) == 5  # the middle of 3.1 and 1.45 is 2.275
    assert "half way" in choice.reason


def test_the_valley_is_the_middle_of_the_longest_fall() -> None:
    choice = choose(RATES, FALLS, ramp(rule="valley"))
    assert choice.place == valley(FALLS) == valley_of_fastai(FALLS.tolist())


def test_all_rules_are_marked_for_the_drawing() -> None:
    places = choose(RATES, FALLS, ramp()).places
    assert places == {"steepest": 4, "halfway": 5, "valley": valley(FALLS)}
    assert tuple(choose(RATES, FALLS, ramp(rule="median")).places) == suggestion.RULES
    assert tuple(places) == suggestion.RULES[:3], "results of the first edition stay as they are"


def test_per_rate_and_per_step_differ_on_an_exponential_ramp_and_are_said_to() -> None:
    rates = np.geomspace(1e-4, 1, 12)
    assert steepest_per_step(FALLS) == 4
    found = steepest(rates, FALLS)
    assert found == int(np.argmin(np.gradient(FALLS, rates)[1:9])) + 1 != 4
    assert f"per step it falls fastest at {rates[4]:.4g}" in choose(rates, FALLS, ramp()).reason
    assert steepest(RATES, FALLS) == steepest_per_step(FALLS), "on a linear ramp they are the same"


def test_what_comes_after_the_minimum_does_not_count() -> None:
    losses = np.concatenate([FALLS, [9.0, 5.0, 2.0]])
    rates = np.linspace(0.01, 1, 15)
    assert steepest(rates, losses) == 4
    assert halfway(losses) == 5


@pytest.mark.parametrize(
    ("losses", "trouble"),
    [
        ([3.0, 3.0, 3.1, 3.5, 9.0], "fell by 0.0% of its start at most, less than least_drop = 2.0%"),
        ([3.0, 2.99, 3.1, 3.5, 9.0], "fell by 0.3%"),
        ([3.0, 1.0], "diverged after 2 steps"),
        ([], "diverged after 0 steps"),
    ],
)
def test_without_a_clear_minimum_the_fallback_is_used_and_said(losses: list[float], trouble: str) -> None:
    choice = choose(RATES[: len(losses)], np.array(losses), ramp())
    assert (choice.learning_rate, choice.rule, choice.place, choice.places) == (0.123, "fallback", None, {})
    assert trouble in choice.reason
    assert "the grid's fallback is used" in choice.reason


def curve_of(start: float, noise: float, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """A ramp of 30 steps a decade up to 1 over a loss that falls about 3e-3, is lowest at 3e-2 and diverges."""
    rates = np.geomspace(start, 1.0, 1 + round(30 * -np.log10(start)))
    losses = 1.5 - 1 / (1 + (3e-3 / rates) ** 2) + (rates / 0.3) ** 4
    return rates, losses + noise * np.random.default_rng(seed).standard_normal(len(rates))


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_the_median_does_not_follow_where_the_ramp_starts_and_the_steepest_does(noise: float) -> None:
    found: dict[str, list[float]] = {"median": [], "steepest": []}
    for start in (1e-7, 1e-6, 1e-5, 1e-4):
        rates, losses = curve_of(start, noise)
        for rule, chosen in found.items():
            chosen.append(choose(rates, losses, ramp(rule=rule)).learning_rate)
    assert max(found["median"]) / min(found["median"]) < 1.5
    assert all(1e-3 < rate < 1e-2 for rate in found["median"])
    if noise:
        assert max(found["steepest"]) / min(found["steepest"]) > 3


@given(st.floats(1e-7, 1e-4), st.integers(0, 1000))
def test_the_median_lies_between_its_three(start: float, seed: int) -> None:
    rates, losses = curve_of(start, 0.02, seed)
    places = choose(rates, losses, ramp(rule="median")).places
    three = sorted(places[rule] for rule in ("halfway", "valley", "tenth"))
    assert three[0] <= places["median"] == three[1] <= three[2]


def test_a_tenth_is_of_the_rate_at_the_minimum() -> None:
    rates = np.geomspace(1e-4, 1, 13)  # 3 steps a decade
    assert tenth(rates, np.array([9.0] * 8 + [1.0] + [9.0] * 4)) == 5
    assert tenth(rates, np.array([9.0] + [1.0] + [9.0] * 11)) == 0


@pytest.mark.parametrize("place", [0, 1, 2, 3, 8, 9, 10, 11])
def test_a_choice_at_an_edge_is_not_taken_and_said(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestion, "halfway", lambda _: place)
    kept = choose(RATES, FALLS, ramp(rule="halfway"))
    assert kept.place == place, "in the first edition it is"
    choice = choose(RATES, FALLS, ramp(rule="halfway", edge_steps=2))
    if place in (3, 8):
        assert choice == kept
        return
    assert (choice.learning_rate, choice.rule, choice.place) == (0.123, "fallback", None)
    assert choice.places["halfway"] == place, "it is drawn"
    assert f"halfway points at {RATES[place]:.4g}, step {place + 1} of 12 done: at the edge" in choice.reason


CURVES = st.lists(st.floats(0.125, 10, width=16), min_size=3, max_size=60)


@given(CURVES)
def test_the_valley_is_that_of_fastai(losses: list[float]) -> None:
    """Where several falls are longest, both take one of them: their lengths are alike."""
    mine = suggestion._longest_fall(np.array(losses))
    assert losses[mine[0]] > losses[mine[1]] or mine[0] == mine[1]
    if len(set(losses)) == len(losses) and sorted(losses, reverse=True) == losses:
        assert valley(np.array(losses)) == valley_of_fastai(losses)


@given(CURVES, st.sampled_from(suggestion.RULES), st.sampled_from(["linear", "exponential"]))
def test_any_curve_gives_a_rate_of_its_own_or_the_fallback(losses: list[float], rule: str, mode: str) -> None:
    rates = np.geomspace(0.01, 1, len(losses)) if mode == "exponential" else np.linspace(0.01, 1, len(losses))
    choice = choose(rates, np.array(losses), ramp(rule=rule))
    lowest = int(np.argmin(losses))
    if choice.place is None:
        assert choice.learning_rate == 0.123
    else:
        assert choice.learning_rate == rates[choice.place]
        assert rule == "valley" or choice.place <= lowest
