"""Progress of a run in numbers: busy slots, expected end, money spent and expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sweep.cost.eta import remaining_run
from sweep.engine.callbacks import Callback
from sweep.schedule.graph import Task
from sweep.schedule.scheduler import State

HOUR = 3600.0
MAX_TIME_SHARE = 0.05
"""Share of the driver's time that the estimates of the rest of the run may take."""


@dataclass(frozen=True)
class ProgressSnapshot:
    """Progress at a moment.

    Attributes:
        unit: name of a slot: ``GPUs``, or ``workers`` on CPUs.
        slots: of the cluster.
        busy: slots that stages run on.
        end: expected end of the run, seconds by the clock of ``ProgressStats``; None while it is unknown.
        spent: money so far; None if slots cost nothing.
        bill: money expected in the end; None while it is unknown.
    """

    unit: str
    slots: int
    busy: int
    end: float | None = None
    spent: float | None = None
    bill: float | None = None


class DriverView(Protocol):
    """The part of a driver that progress is computed from."""

    @property
    def states(self) -> Mapping[str, State]: ...  # noqa: D102

    @property
    def at_work(self) -> Mapping[str, int]: ...  # noqa: D102

    def share(self, key: str) -> float: ...  # noqa: D102


class CapacityView(Protocol):
    """The part of a cluster's capacity that progress is computed from."""

    @property
    def price(self) -> float: ...  # noqa: D102

    def slots(self) -> int: ...  # noqa: D102

    def spent(self) -> float: ...  # noqa: D102


class ProgressStats(Callback):
    """Computes the progress of a run on the driver's events, at a bounded rate, and keeps the last snapshot."""

    def __init__(
        self,
        driver: DriverView,
        capacity: CapacityView,
        tasks: Sequence[Task],
        seconds_of: Callable[[str], float | None],
        unit: str = "workers",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Compute a first snapshot.

        Args:
            driver: of the run.
            capacity: of the cluster.
            tasks: all stages.
            seconds_of: key -> seconds of the whole stage on one worker; None if unknown.
            unit: name of a slot.
            clock: returns the time, seconds.
        """
        self._driver, self._capacity, self._tasks, self._seconds_of = driver, capacity, tasks, seconds_of
        self._unit, self._now = unit, clock
        self._last = self._compute()
        self._next = self._now()

    def snapshot(self) -> ProgressSnapshot:
        """Return the last snapshot. Safe to call from another thread: a snapshot does not change."""
        return self._last

    def _event(self, *args: Any, **kwargs: Any) -> None:
        """Compute the next snapshot, unless that would take more than its share of the driver's time."""
        began = self._now()
        if began >= self._next:
            self._last = self._compute()
            self._next = self._now() + (self._now() - began) / MAX_TIME_SHARE

    started = progressed = finished = failed = _event

    def _compute(self) -> ProgressSnapshot:
        driver, capacity = self._driver, self._capacity
        slots, busy, now = capacity.slots(), sum(driver.at_work.values()), self._now()
        rest = remaining_run(self._tasks, driver.states, driver.share, slots, self._seconds_of, driver.at_work)
        end = None if rest is None else now + rest.makespan
        if not capacity.price:
            return ProgressSnapshot(self._unit, slots, busy, end)
        spent = capacity.spent()
        bill = None if rest is None else spent + rest.slot_time * capacity.price / HOUR
        return ProgressSnapshot(self._unit, slots, busy, end, spent, bill)
