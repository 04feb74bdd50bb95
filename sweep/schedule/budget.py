"""Limits of a run: a stage does not start if by its estimate it would exceed them. Pure: time and money are passed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Admits = Callable[[str, int], str | None]
"""(key of a stage, number of workers) -> why it may not start on them; None if it may."""


def anything(key: str, num_workers: int) -> str | None:
    """Admit every stage: there are no limits.

    Args:
        key: of the stage.
        num_workers: it would run on.
    """
    return None


@dataclass(frozen=True)
class Budget:
    """What a run may take.

    Attributes:
        seconds_of: (key, number of workers) -> estimated seconds of the stage.
        deadline: seconds from the start of the run.
        max_cost: money for the whole run.
        price: of one slot for one second.
        slots_per_worker: (key, number of workers) -> slots that each worker holds: more than one for its memory.
    """

    seconds_of: Callable[[str, int], float]
    deadline: float = math.inf
    max_cost: float = math.inf
    price: float = 0.0
    slots_per_worker: Callable[[str, int], int] = lambda key, num_workers: 1

    def cost_of(self, key: str, num_workers: int) -> float:
        """Return what a stage is estimated to cost: seconds × slots × price.

        Args:
            key: of the stage.
            num_workers: it would run on.
        """
        slots = num_workers * self.slots_per_worker(key, num_workers)
        return self.seconds_of(key, num_workers) * slots * self.price

    def at(self, now: float, spent: float) -> Admits:
        """Return the admission rule of a moment.

        Args:
            now: seconds since the start of the run.
            spent: money spent so far, and what the running stages will still cost.
        """

        def admits(key: str, num_workers: int) -> str | None:
            seconds = self.seconds_of(key, num_workers)
            if now + seconds > self.deadline:
                return f"would take {seconds:.0f} s, {max(0.0, self.deadline - now):.0f} s are left until the deadline"
            cost = self.cost_of(key, num_workers)
            if spent + cost > self.max_cost:
                return f"would cost {cost:.2f}, {max(0.0, self.max_cost - spent):.2f} are left of {self.max_cost:.2f}"
            return None

        return admits
