"""How often a stage is tried again, and when a whole run is given up. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

LOST = "its process or node was lost"
GAIN = 0.01
"""Share of its work by which a stage must have come further, so that earlier losses are forgiven: more than chance."""


@dataclass(frozen=True)
class Budgets:
    """How often a stage may be tried again, and when a run is given up.

    Attributes:
        infrastructure: tries after a lost process or node, without the stage coming any further.
        errors: tries after an error of the stage's own.
        alike: so many stages that fail alike, before a single one is done, are no accident: the run stops. 0: never.
    """

    infrastructure: int = 5
    errors: int = 1
    alike: int = 3


@dataclass
class _History:
    started: int = 0
    infrastructure: int = 0
    furthest: float = 0.0
    errors: list[str] = field(default_factory=list)


class Attempts:
    """The attempts at every stage, held to the budgets."""

    def __init__(self, budgets: Budgets | None = None) -> None:
        """Begin with no attempt."""
        self._budgets = budgets or Budgets()
        self._of: dict[str, _History] = defaultdict(_History)
        self._ends: list[str] = []
        self._any_done = False

    def started(self, key: str) -> int:
        """Count an attempt; return its number, from 1."""
        self._of[key].started += 1
        return self._of[key].started

    def count(self, key: str) -> int:
        """Return how often a stage was started."""
        return self._of[key].started

    def done(self) -> None:
        """Note that a stage was done: the run is not hopeless."""
        self._any_done = True

    def again(self, key: str, error: str | None, share: float = 0.0) -> bool:
        """Note a failed attempt; say whether the stage is tried again.

        Args:
            key: the stage.
            error: class and message of its exception; None where its process or node was lost.
            share: of its work that the stage had done, 0 to 1. A long stage on nodes that are taken every hour is lost
                often and ends all the same: a loss counts with those before it only if less than ``GAIN`` was gained since.
        """
        history = self._of[key]
        if error is None:
            if share >= history.furthest + GAIN:
                history.infrastructure, history.furthest = 0, share
            history.infrastructure += 1
            again = history.infrastructure <= self._budgets.infrastructure
        else:  # the same error twice is no accident
            again = error not in history.errors and len(history.errors) < self._budgets.errors
            history.errors.append(error)
        if not again:
            self._ends.append(LOST if error is None else error)
        return again

    @property
    def hopeless(self) -> str | None:
        """Why to stop the run: the first several stages all failed with one error, none was done; or None."""
        several = self._budgets.alike
        first = self._ends[:several]
        if not first or len(first) < several or self._any_done or len({alike(error) for error in first}) > 1:
            return None
        return f"the first {several} stages failed alike: {first[0]}"


def alike(error: str) -> str:
    """Return an error without what differs from stage to stage: keys and numbers."""
    return re.sub(r"\b[0-9a-f]{8,}\b|\d+", "#", error)
