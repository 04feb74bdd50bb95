"""How often a stage is tried again, and when a whole run is given up. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

LOST = "its process or node was lost"
MIN_PROGRESS = 0.01
"""Share of its work that a stage must gain between two losses, so that the earlier ones no longer count."""


@dataclass(frozen=True)
class Budgets:
    """How often a stage may be tried again, and when a run is given up.

    Attributes:
        infrastructure: retries after a lost process or node, while the stage makes no progress.
        errors: retries after an exception of the stage's own.
        identical_failures: the run stops if this many stages fail with one error before any stage is done; 0: never.
    """

    infrastructure: int = 5
    errors: int = 1
    identical_failures: int = 3


@dataclass
class _History:
    started: int = 0
    losses: int = 0
    progress: float = 0.0
    errors: list[str] = field(default_factory=list)


class Attempts:
    """Counts the attempts at every stage and holds them to the budgets."""

    def __init__(self, budgets: Budgets | None = None) -> None:
        """Begin with no attempt; None: the default budgets."""
        self._budgets = budgets or Budgets()
        self._of: dict[str, _History] = defaultdict(_History)
        self._final_errors: list[str] = []
        self._any_done = False

    def started(self, key: str) -> int:
        """Count an attempt at a stage; return its number, from 1."""
        self._of[key].started += 1
        return self._of[key].started

    def count(self, key: str) -> int:
        """Return how often a stage was started."""
        return self._of[key].started

    def done(self) -> None:
        """Record that some stage is done: the run can work."""
        self._any_done = True

    def retry(self, key: str, error: str | None, share: float = 0.0) -> bool:
        """Record a failed attempt and decide whether the stage is tried again.

        A long stage on spot nodes may be lost every hour and still end: a loss adds to the earlier ones only if the
        stage made less than ``MIN_PROGRESS`` since. The same error twice is final: it is reproducible.

        Args:
            key: the stage.
            error: class and message of its exception; None where its process or node was lost.
            share: of its work that the stage had done, 0 to 1.

        Returns:
            Whether it is tried again.
        """
        history = self._of[key]
        if error is None:
            if share >= history.progress + MIN_PROGRESS:
                history.losses, history.progress = 0, share
            history.losses += 1
            again = history.losses <= self._budgets.infrastructure
        else:
            again = error not in history.errors and len(history.errors) < self._budgets.errors
            history.errors.append(error)
        if not again:
            self._final_errors.append(LOST if error is None else error)
        return again

    @property
    def common_failure(self) -> str | None:
        """Why to stop the run: the first stages all failed for good with one error and none is done; else None."""
        number = self._budgets.identical_failures
        first = self._final_errors[:number]
        if not first or len(first) < number or self._any_done or len({error_signature(e) for e in first}) > 1:
            return None
        return f"the first {number} stages failed with the same error: {first[0]}"


def error_signature(error: str) -> str:
    """Return an error without what differs from stage to stage: keys and numbers become ``#``."""
    return re.sub(r"\b[0-9a-f]{8,}\b|\d+", "#", error)
