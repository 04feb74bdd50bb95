"""Which stage next: a pure state machine, with no Ray, no files and no clock in it.

A stage starts as soon as its inputs exist; among those that can, the one with the longest remaining
chain of work behind it goes first.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Literal

State = Literal["waiting", "ready", "running", "done", "failed", "blocked", "stopped", "excluded"]


@dataclass(frozen=True)
class Task:
    """What the schedule knows of a stage.

    Attributes:
        cost: expected work, in any unit, the same for all.
    """

    key: str
    upstream: tuple[str, ...]
    cost: float


@dataclass(frozen=True)
class Budgets:
    """How often a stage may be tried again: after a lost process or node, and after an error of its own."""

    infrastructure: int = 5
    errors: int = 1


@dataclass
class _Attempts:
    started: int = 0
    infrastructure: int = 0
    errors: list[str] = field(default_factory=list)


class Schedule:
    """The state of every stage, and the order in which they run.

    Raises:
        ValueError: if an upstream stage is unknown or the stages form a circle.
    """

    def __init__(self, tasks: Iterable[Task], done: Iterable[str] = (), budgets: Budgets | None = None) -> None:
        """Begin with the given stages already done."""
        self._tasks = {task.key: task for task in tasks}
        self._budgets = budgets or Budgets()
        self._attempts: dict[str, _Attempts] = defaultdict(_Attempts)
        self._downstream: dict[str, list[str]] = defaultdict(list)
        for task in self._tasks.values():
            for up in task.upstream:
                self._downstream[up].append(task.key)
        self._order = _upstream_first(self._tasks)
        self._rank = {key: place for place, key in enumerate(self._order)}
        self._remaining = self._longest_chains()
        self._queue: list[tuple[float, int, str]] = []
        self._running: set[str] = set()
        self.states: dict[str, State] = dict.fromkeys(self._tasks, "waiting")
        for key in set(done) & self._tasks.keys():
            self.states[key] = "done"
        self._lacking = {
            key: sum(self.states[up] != "done" for up in task.upstream) for key, task in self._tasks.items()
        }
        for key in self._order:
            self._offer(key)

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing can run any more."""
        return self.idle and not self._queue

    def ready(self) -> list[str]:
        """Return the stages that may start now, the most urgent first."""
        return [key for _, _, key in sorted(self._queue)]

    def start(self) -> tuple[str, int] | None:
        """Take the most urgent ready stage; return its key and the number of this attempt, from 1."""
        if not self._queue:
            return None
        key = heapq.heappop(self._queue)[2]
        self.states[key] = "running"
        self._running.add(key)
        self._attempts[key].started += 1
        return key, self._attempts[key].started

    def done(self, key: str) -> None:
        """Note that a running stage has its result."""
        self._running.discard(key)
        self.states[key] = "done"
        for down in self._downstream[key]:
            self._lacking[down] -= 1
            self._offer(down)

    def failed(self, key: str, error: str | None) -> list[str]:
        """Note that a running stage failed, and decide whether it is tried again.

        Args:
            key: the stage.
            error: class and message of its exception; None where its process or node was lost.

        Returns:
            the stages that are now given up: none, or it and all that it blocks.
        """
        self._running.discard(key)
        attempts = self._attempts[key]
        if error is None:
            attempts.infrastructure += 1
            again = attempts.infrastructure <= self._budgets.infrastructure
        else:  # the same error twice is no accident
            again = error not in attempts.errors and len(attempts.errors) < self._budgets.errors
            attempts.errors.append(error)
        if again:
            self.states[key] = "waiting"
            self._offer(key)
            return []
        self.states[key] = "failed"
        return self._given_up(key)

    def attempts(self, key: str) -> int:
        """Return how often a stage was started."""
        return self._attempts[key].started

    def _given_up(self, key: str) -> list[str]:
        """A failed stage and all that it blocks."""
        gone = [key]
        for up in gone:  # grows on the way: a chain may be longer than a stack
            for down in self._downstream[up]:
                if self.states[down] == "waiting":
                    self.states[down] = "blocked"
                    gone.append(down)
        return gone

    def _offer(self, key: str) -> None:
        if self.states[key] == "waiting" and not self._lacking[key]:
            self.states[key] = "ready"
            heapq.heappush(self._queue, (-self._remaining[key], self._rank[key], key))

    def _longest_chains(self) -> dict[str, float]:
        remaining: dict[str, float] = {}
        for key in reversed(self._order):
            behind = max((remaining[down] for down in self._downstream[key]), default=0.0)
            remaining[key] = self._tasks[key].cost + behind
        return remaining


def _upstream_first(tasks: dict[str, Task]) -> Sequence[str]:
    unknown = {up for task in tasks.values() for up in task.upstream} - tasks.keys()
    if unknown:
        raise ValueError(f"upstream stages that are in no plan: {', '.join(sorted(unknown))}")
    try:
        return tuple(TopologicalSorter({key: task.upstream for key, task in tasks.items()}).static_order())
    except CycleError as error:
        raise ValueError(f"the stages form a circle: {' → '.join(error.args[1])}") from error
