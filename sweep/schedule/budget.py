"""Limits of a run: a stage is not started that by its estimate would pass them. Pure: time and money are passed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Admits = Callable[[str, int], str | None]
"""Whether a stage (its key) may start at a width: None, or why not."""


def anything(key: str, width: int) -> str | None:
    """Admit every stage."""
    return None


@dataclass(frozen=True)
class Budget:
    """What a run may take.

    Attributes:
        deadline: seconds from the beginning of the run.
        max_cost: money for the whole run.
        seconds_of: estimate of the seconds a stage takes at a width.
        price: of one slot for one second.
        places_of: how many slots each worker of a stage holds at a width.
    """

    seconds_of: Callable[[str, int], float]
    deadline: float = math.inf
    max_cost: float = math.inf
    price: float = 0.0
    places_of: Callable[[str, int], int] = lambda key, width: 1

    def cost_of(self, key: str, width: int) -> float:
        """Return what a stage costs at a width."""
        return self.seconds_of(key, width) * width * self.places_of(key, width) * self.price

    def at(self, now: float, spent: float) -> Admits:
        """Return the rule of a moment.

        Args:
            now: seconds since the beginning of the run.
            spent: money spent, and what the running stages will still cost.
        """

        def admits(key: str, width: int) -> str | None:
            seconds = self.seconds_of(key, width)
            if now + seconds > self.deadline:
                return f"would take {seconds:.0f} s, {max(0.0, self.deadline - now):.0f} s are left until the deadline"
            cost = self.cost_of(key, width)
            if spent + cost > self.max_cost:
                return f"would cost {cost:.2f}, {max(0.0, self.max_cost - spent):.2f} are left of {self.max_cost:.2f}"
            return None

        return admits
