"""Tests of the range test: the ramp, the smoothing, divergence, and against an established implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainables.lr_range.ramp import ramp_rates, sweep_rates
from trainables.specs import Ramp


def ramp(**fields: Any) -> Ramp:
    return Ramp(**({"start": 0.001, "end": 0.1, "steps": 10, "fallback": 0.01} | fields))


def test_a_linear_ramp_rises_by_the_same_amount() -> None:
    rates = ramp_rates(ramp(mode="linear"))
    assert (rates[0], rates[-1], len(rates)) == (0.001, 0.1, 10)
    assert np.allclose(np.diff(rates), 0.011)


def test_an_exponential_ramp_rises_by_the_same_factor() -> None:
    rates = ramp_rates(ramp(mode="exponential"))
    assert rates[0] == pytest.approx(0.001)
    assert rates[-1] == pytest.approx(0.1)
    assert np.allclose(rates[1:] / rates[:-1], 100 ** (1 / 9))


def test_the_loss_is_smoothed_by_the_past() -> None:
    losses = iter([4.0, 2.0, 3.0, *[3.0] * 7])
    *_, curve = sweep_rates(ramp(smoothing=0.5), lambda _: next(losses))
    assert curve.losses[:3].tolist() == [4.0, 2.0, 3.0]
    assert curve.smoothed[:3].tolist() == [4.0, 3.0, 3.0]
    assert len(curve.rates) == 10


def test_it_ends_where_the_loss_has_diverged() -> None:
    losses = iter([1.0, 0.5, 1.9, 2.1, 0.1])
    *_, curve = sweep_rates(ramp(smoothing=0.0, diverged=4.0), lambda _: next(losses))
    assert curve.losses.tolist() == [1.0, 0.5, 1.9, 2.1]


def test_a_loss_that_is_not_finite_ends_it_and_is_not_in_the_curve() -> None:
    losses = iter([1.0, float("nan"), 0.1])
    *_, curve = sweep_rates(ramp(), lambda _: next(losses))
    assert curve.losses.tolist() == [1.0]
    assert list(sweep_rates(ramp(), lambda _: float("inf"))) == []


def test_each_rate_is_tried_once_in_order() -> None:
    tried: list[float] = []

    def loss_at(rate: float) -> float:
        tried.append(rate)
        return 1.0

    list(sweep_rates(ramp(), loss_at))
    assert tried == ramp_rates(ramp()).tolist()
