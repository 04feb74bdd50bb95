"""Choosing a start rate from the curve of a learning-rate range test. Pure: a curve in, a choice out."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from trainables.arrays import Floats
from trainables.specs import Ramp

Rule = Literal["steepest", "halfway", "valley", "tenth", "median"]
RULES: tuple[Rule, ...] = ("steepest", "halfway", "valley", "tenth", "median")
MIDDLE_OF: tuple[Rule, ...] = ("halfway", "valley", "tenth")
"""Rules of which ``median`` takes the middle one: each errs where another does not."""


@dataclass(frozen=True)
class SuggestedRate:
    """The start rate a range test gives, and why.

    Attributes:
        place: index of the chosen point of the curve; None where the fallback is used.
        places: where each rule points, for the drawing.
    """

    learning_rate: float
    rule: str
    reason: str
    place: int | None
    places: dict[str, int]

    def document(self) -> dict[str, Any]:
        """Return it as it stands in ``result.json``."""
        return asdict(self)


def choose(rates: Floats, losses: Floats, ramp: Ramp) -> SuggestedRate:
    """Choose a rate by the ramp's rule, or its fallback where the curve has no clear minimum or the choice is at its edge.

    Args:
        rates: shape (n,), rising.
        losses: the smoothed loss at each, shape (n,).
        ramp: the rule, how far the loss must fall, and how wide the edges are.
    """
    if trouble := _no_clear_minimum(losses, ramp):
        reason = f"no clear minimum: {trouble}; the grid's fallback is used"
        return SuggestedRate(ramp.fallback, "fallback", reason, None, {})
    places = {"steepest": steepest(rates, losses), "halfway": halfway(losses), "valley": valley(losses)}
    if ramp.rule in ("tenth", "median"):
        places["tenth"] = tenth(rates, losses)
        places["median"] = sorted(places[rule] for rule in MIDDLE_OF)[1]
    place = places[ramp.rule]
    if ramp.edge_steps is not None and min(place, len(rates) - 1 - place) <= ramp.edge_steps:
        reason = (
            f"{ramp.rule} points at {rates[place]:.4g}, step {place + 1} of {len(rates)} done: at the edge of the curve it says "
            f"little. The grid's fallback is used; give the test another `start` or `end`"
        )
        return SuggestedRate(ramp.fallback, "fallback", reason, None, places)
    return SuggestedRate(float(rates[place]), ramp.rule, _reason(rates, losses, ramp.rule, place), place, places)


def steepest(rates: Floats, losses: Floats) -> int:
    """Return where the loss falls fastest per unit of learning rate, before its minimum (supplement 1.4, Fig. 1).

    Args:
        rates: shape (n,), rising.
        losses: the smoothed loss at each, shape (n,).
    """
    first, last = _descent(losses)
    return first + int(np.argmin(np.gradient(losses, rates)[first : last + 1]))


def steepest_per_step(losses: Floats) -> int:
    """Return where the loss falls fastest per step, before its minimum; on a linear ramp the same as ``steepest``."""
    first, last = _descent(losses)
    return first + int(np.argmin(np.gradient(losses)[first : last + 1]))


def halfway(losses: Floats) -> int:
    """Return the first point at which the loss has fallen half way from its last peak to its minimum."""
    first, last = _descent(losses)
    return first + int(np.argmax(losses[first : last + 1] <= (losses[first] + losses[last]) / 2))


def valley(losses: Floats) -> int:
    """Return the point half-way through the middle third of the longest falling subsequence.

    The rule ``valley`` of fastai (`fastai.callback.schedule.valley`), after ESRI's arcgis.learn.
    """
    start, end = _longest_fall(losses)
    third = (end - start) / 3
    return start + int(third) + int(third / 2)


def tenth(rates: Floats, losses: Floats) -> int:
    """Return the point nearest, in log rate, to a tenth of the rate at the minimum: fastai's rule ``minimum``.

    Args:
        rates: shape (n,), rising, above 0.
        losses: the smoothed loss at each, shape (n,).
    """
    wanted = rates[int(np.argmin(losses))] / 10
    return int(np.argmin(np.abs(np.log(rates) - np.log(wanted))))


def _descent(losses: Floats) -> tuple[int, int]:
    """First and last index of the fall from the highest point before the minimum to the minimum."""
    lowest = max(int(np.argmin(losses)), 1)
    return int(np.argmax(losses[:lowest])), lowest


def _longest_fall(losses: Floats) -> tuple[int, int]:
    """First and last index of the longest strictly falling subsequence (patience sorting, n log n)."""
    tails: list[float] = []
    ends: list[int] = []
    before = [-1] * len(losses)
    for i, loss in enumerate((-losses).tolist()):
        place = bisect_left(tails, loss)
        before[i] = ends[place - 1] if place else -1
        tails[place : place + 1] = [loss]
        ends[place : place + 1] = [i]
    start = end = ends[-1]
    while before[start] >= 0:
        start = before[start]
    return start, end


def _no_clear_minimum(losses: Floats, ramp: Ramp) -> str | None:
    if len(losses) < 3:
        return f"the loss diverged after {len(losses)} steps"
    lowest = int(np.argmin(losses))
    fallen = 1 - losses[lowest] / losses[0]
    if fallen < ramp.least_drop:
        return f"the loss fell by {fallen:.1%} of its start at most, less than least_drop = {ramp.least_drop:.1%}"
    return None


def _reason(rates: Floats, losses: Floats, rule: Rule, place: int) -> str:
    fallen = f"{losses[place]:.4g}, on the way from {losses[0]:.4g} to {losses.min():.4g}"
    if rule == "halfway":
        return f"the loss has fallen half way: {fallen}"
    if rule == "valley":
        return f"the middle of the longest fall: {fallen}"
    if rule == "tenth":
        return f"a tenth of the rate at the minimum: {fallen}"
    if rule == "median":
        return f"the middle one of {', '.join(MIDDLE_OF[:-1])} and a tenth of the rate of the minimum: {fallen}"
    per_step = steepest_per_step(losses)
    other = "" if per_step == place else f"; per step it falls fastest at {rates[per_step]:.4g}"
    return f"the loss falls fastest per unit of rate: {fallen}{other}"
