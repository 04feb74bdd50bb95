"""What a run has used of its limits: time and money. Says which stages may start, and when all must stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sweep.engine.capacity import ClusterCapacity
from sweep.engine.driver import Driver
from sweep.engine.run_limits import RunLimits
from sweep.schedule.budget import Admits, Budget, anything

HOUR = 3600.0
STOPPING_SECONDS = 20.0
"""Stopping takes about this long: each stage reaches its next heartbeat and saves, Ray ends, the report is written."""


@dataclass
class BudgetTracker:
    """The limits of a run, and how much of them is used.

    Attributes:
        cluster: the run's cluster, whose clock is used.
        driver: knows what runs.
        limits: of the command line, with the price filled in.
        seconds_of: estimated seconds that a stage (its key) takes on one worker; None while nothing was measured.
        begun: when the command began, by the clock: the deadline counts from then.
        before: worker-seconds used earlier in the same run.
    """

    cluster: ClusterCapacity
    driver: Driver
    limits: RunLimits
    seconds_of: Callable[[str], float | None]
    begun: float = 0.0
    before: float = 0.0

    def slots(self) -> int:
        """Return the number of slots of the cluster."""
        return self.cluster.slots()

    @property
    def price(self) -> float:
        """Price of one worker for one hour."""
        return self.limits.price or 0.0

    def hung(self) -> list[str]:
        """Return the running stages that have sent no heartbeat for too long."""
        return self.driver.unresponsive(self.limits.hang_timeout)

    def admits(self) -> Admits:
        """Return the rule by which stages are admitted now."""
        if math.isinf(self.limits.deadline) and math.isinf(self.limits.max_cost):
            return anything
        deadline = self.limits.deadline - self._reserve
        budget = Budget(self._seconds, deadline, self.limits.max_cost, self.price / HOUR, self._slots_per_worker)
        return budget.at(self._elapsed, self.committed())

    def spent(self) -> float:
        """Return the money spent so far."""
        return self.worker_seconds() * self.price / HOUR

    def committed(self) -> float:
        """Return the money spent so far and what the dispatched stages will still cost."""
        slots = self.driver.slots
        rest = sum(
            self._seconds(key, workers) * slots.held[key] * (1 - self.driver.share(key))
            for key, workers in slots.dispatched.items()
        )
        return self.spent() + rest * self.price / HOUR

    def worker_seconds(self) -> float:
        """Return the worker-seconds used in the whole run."""
        return self.before + self.driver.slots.worker_seconds()

    def exceeded(self) -> str | None:
        """Return which limit would be exceeded if the run did not stop now, since stopping takes time; None if none."""
        if self._elapsed + self._reserve >= self.limits.deadline:
            return f"the deadline of {self.limits.deadline:.0f} s is near"
        stopping = min(self.driver.slots.busy * STOPPING_SECONDS * self.price / HOUR, self.limits.max_cost / 4)
        if self.spent() + stopping >= self.limits.max_cost:
            return f"{self.spent():.2f} of {self.limits.max_cost:.2f} are spent"
        return None

    @property
    def _elapsed(self) -> float:
        return self.cluster.clock() - self.begun

    @property
    def _reserve(self) -> float:
        """Seconds before the deadline at which all must stop."""
        return min(STOPPING_SECONDS, self.limits.deadline / 4) if math.isfinite(self.limits.deadline) else 0.0

    def _seconds(self, key: str, workers: int) -> float:
        return (self.seconds_of(key) or 0.0) / workers

    def _slots_per_worker(self, key: str, workers: int) -> int:
        return self.driver.slots_per_worker(key, workers, self.cluster.slots_per_node())
