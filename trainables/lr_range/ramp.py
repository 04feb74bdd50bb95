"""The learning-rate range test (Smith 2017, section 3.3): the rate rises from step to step, the loss is watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from trainables.arrays import Floats
from trainables.specs import Ramp


@dataclass(frozen=True)
class RangeCurve:
    """What a range test saw, each of shape (steps done,)."""

    rates: Floats
    losses: Floats
    smoothed: Floats


def ramp_rates(ramp: Ramp) -> Floats:
    """Return the rate of each step, shape (steps,): from ``start`` to ``end``, both included."""
    spaced = np.geomspace if ramp.mode == "exponential" else np.linspace
    return np.asarray(spaced(ramp.start, ramp.end, ramp.steps), dtype=np.float64)


def sweep_rates(ramp: Ramp, loss_at: Callable[[float], float]) -> Iterator[RangeCurve]:
    """Take a step at each rate; yield the curve after each, until the loss has diverged.

    Args:
        ramp: the rates, the smoothing, and when the loss counts as diverged.
        loss_at: takes a step at a rate and returns the loss.
    """
    losses: list[float] = []
    smoothed: list[float] = []
    rates = ramp_rates(ramp)
    for done, rate in zip(count(1), rates.tolist()):
        loss = loss_at(rate)
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smoothed.append(loss if done == 1 else ramp.smoothing * smoothed[-1] + (1 - ramp.smoothing) * loss)
        yield RangeCurve(rates[:done], np.array(losses), np.array(smoothed))
        if smoothed[-1] > ramp.diverged * min(smoothed):
            break
