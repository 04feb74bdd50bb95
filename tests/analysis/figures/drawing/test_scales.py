"""Scales and their ticks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.figures.drawing.scales import Panel, Scale, tick_text

NUMBERS = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_scale_holds_its_values_and_its_ticks_lie_within(values: list[float]) -> None:
    scale = Scale.around(values)
    assert all(0 <= scale.share(value) <= 1 for value in values)
    ticks = scale.ticks()
    assert all(scale.low - 1e-6 * abs(scale.low) <= tick <= scale.high + 1e-6 * abs(scale.high) for tick in ticks)
    assert 2 <= len(ticks) <= 8 or max(values) - min(values) < 1e-9 * max(map(abs, values))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)), (0, 9, (0, 2, 4, 6, 8)), (-0.3, 0.3, (-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3))],
)
def test_ticks_are_round(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert Scale(low, high).ticks() == pytest.approx(expected)


def test_ticks_of_a_logarithmic_scale() -> None:
    assert Scale(1e-5, 0.1, log=True).ticks() == pytest.approx((1e-5, 1e-4, 1e-3, 1e-2, 1e-1))
    assert Scale(0.2, 4, log=True).ticks() == pytest.approx((0.3, 1, 3))
    assert Scale(1e-2, 1, log=True).share(0.1) == pytest.approx(0.5)


def test_what_is_no_number_or_beyond_the_scale() -> None:
    assert Scale.around([math.nan, math.inf]) == Scale(0 - 0.05, 1 + 0.05)
    panel = Panel(0, 0, 100, 100, Scale(0, 1), Scale(0, 1))
    assert panel.curve([0, 0.5, 1], [0, math.nan, 7]) == ((0, 100), (100, 0))
    log = Panel(0, 0, 100, 100, Scale(0, 1), Scale(0.1, 1, log=True))
    assert log.place(0, 0) == (0, 100)


def test_tick_texts() -> None:
    assert [tick_text(value) for value in (0.05, 1e-5, 20, -0.1, 0.0)] == ["0.05", "1e−5", "20", "−0.1", "0"]
