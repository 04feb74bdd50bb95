"""What a run is at, in numbers: how busy the cluster is, how long still, what was spent and what it will come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweep.cost.eta import remaining_run
from sweep.engine.callbacks import Callback
from sweep.schedule.graph import Task
from sweep.schedule.scheduler import State
from trainables.specs import Stage

HOUR = 3600.0
COSTS_AT_MOST = 0.05
"""Share of the driver's time that looking ahead may take."""


@dataclass(frozen=True)
class ProgressSnapshot:
    """The numbers of a moment.

    Attributes:
        unit: what a slot is called: ``GPUs``, or ``workers`` on CPUs.
        slots: of the cluster.
        busy: slots that stages are trained on.
        end: when all that can be done will be done, by the clock that told it; None while nothing is known.
        spent: money, so far; None where a slot costs nothing.
        bill: money in the end.
    """

    unit: str
    slots: int
    busy: int
    end: float | None = None
    spent: float | None = None
    bill: float | None = None


class DriverView(Protocol):
    """What is asked of a driver."""

    @property
    def states(self) -> Mapping[str, State]: ...  # noqa: D102

    @property
    def at_work(self) -> Mapping[str, int]: ...  # noqa: D102

    def share(self, key: str) -> float: ...  # noqa: D102


class CapacityView(Protocol):
    """What is asked of the room of a cluster."""

    @property
    def price(self) -> float: ...  # noqa: D102

    def slots(self) -> int: ...  # noqa: D102

    def spent(self) -> float: ...  # noqa: D102


class ProgressStats(Callback):
    """Looks ahead whenever something happens, but not all the time: what it sees last can be asked for at any time."""

    def __init__(
        self,
        driver: DriverView,
        place: CapacityView,
        tasks: Sequence[Task],
        seconds_of: Callable[[str], float | None],
        unit: str = "workers",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a first look."""
        self._driver, self._place, self._tasks, self._seconds_of = driver, place, tasks, seconds_of
        self._unit, self._now = unit, clock
        self._seen = self._look()
        self._next = self._now()

    def snapshot(self) -> ProgressSnapshot:
        """Return what was seen last. Asked from another thread, it touches nothing that changes."""
        return self._seen

    def started(self, stage: Stage, attempt: int) -> None:
        """Look again."""
        self._look_again()

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Look again."""
        self._look_again()

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Look again."""
        self._look_again()

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Look again."""
        self._look_again()

    def _look_again(self) -> None:
        began = self._now()
        if began >= self._next:
            self._seen = self._look()
            self._next = self._now() + (self._now() - began) / COSTS_AT_MOST

    def _look(self) -> ProgressSnapshot:
        driver, place = self._driver, self._place
        slots, busy, now = place.slots(), sum(driver.at_work.values()), self._now()
        rest = remaining_run(self._tasks, driver.states, driver.share, slots, self._seconds_of, driver.at_work)
        end = None if rest is None else now + rest.makespan
        if not place.price:
            return ProgressSnapshot(self._unit, slots, busy, end)
        spent = place.spent()
        bill = None if rest is None else spent + rest.slot_time * place.price / HOUR
        return ProgressSnapshot(self._unit, slots, busy, end, spent, bill)
