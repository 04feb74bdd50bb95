"""How much may run: the workers that the cluster has room for, and the limits of the run, asked anew each time."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.engine.driver import Driver
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.grid.precision import gpu_capabilities
from sweep.schedule.budget import Admits, Budget, anything
from trainables.runtime import Workers

REFRESH_SECONDS = 5.0
HOUR = 3600.0
STOPPING_SECONDS = 20.0
"""To stop takes about so long: each stage comes to its next sign of life and saves, Ray ends, the report is written."""


@dataclass
class ClusterCapacity:
    """The room of a real cluster.

    Attributes:
        capacity: returns what the cluster has now.
        worker: what one worker is given.
        driver: knows what runs.
        asked: the limits.
        seconds_of: estimate of the seconds a stage takes on one worker; None while nothing was measured.
        clock: tells the time, seconds.
        begun: when the run began, by this clock: the deadline counts from then.
        before: seconds that workers were given earlier in the same run.
        largest: how many workers there would be room for in the largest cluster that this one may become.
    """

    capacity: Callable[[], ClusterResources]
    worker: Workers
    driver: Driver
    asked: RunLimits
    seconds_of: Callable[[str], float | None]
    clock: Callable[[], float] = time.monotonic
    begun: float = 0.0
    before: float = 0.0
    largest: int = 0
    _looked: float = field(init=False, default=-math.inf)
    _has: ClusterResources = field(init=False, default=ClusterResources(()))

    def slots(self) -> int:
        """Return how many workers there is room for."""
        return slots(self._now(), self.worker)

    def node(self) -> int:
        """Return how many workers there is room for on any node that has room for one."""
        return min((places for places in places_of(self._now(), self.worker) if places), default=1)

    def _now(self) -> ClusterResources:
        if self.clock() - self._looked >= REFRESH_SECONDS:
            self._has, self._looked = self.capacity(), self.clock()
        return self._has

    def hung(self) -> list[str]:
        """Return the running stages that gave no sign of life for too long."""
        return self.driver.silent(self.asked.hang_timeout)

    def growth(self) -> int:
        """Return for how many more workers there may be room, if stages wait for it."""
        return max(0, self.largest - self.slots())

    @property
    def price(self) -> float:
        """Money for one worker for one hour."""
        return self.asked.price or 0.0

    def admits(self) -> Admits:
        """Return the rule by which stages are admitted now."""
        if math.isinf(self.asked.deadline) and math.isinf(self.asked.max_cost):
            return anything
        deadline = self.asked.deadline - self._reserve
        limits = Budget(self._seconds, deadline, self.asked.max_cost, self.price / HOUR, self._places)
        return limits.at(self._elapsed, self.committed())

    def spent(self) -> float:
        """Return the money spent so far."""
        return self.worker_seconds() * self.price / HOUR

    def committed(self) -> float:
        """Return the money spent, with what the stages that were handed out will still cost."""
        still = sum(
            self._seconds(key, width) * self.driver.held[key] * (1 - self.driver.share(key))
            for key, width in self.driver.widths.items()
        )
        return self.spent() + still * self.price / HOUR

    def worker_seconds(self) -> float:
        """Return for how many seconds workers were given to stages, in the whole run."""
        return self.before + self.driver.worker_seconds()

    def over(self) -> str | None:
        """Say which limit would be passed if all did not stop now: to stop takes time as well. None: none."""
        if self._elapsed + self._reserve >= self.asked.deadline:
            return f"the deadline of {self.asked.deadline:.0f} s is near"
        while_stopping = min(self.driver.busy * STOPPING_SECONDS * self.price / HOUR, self.asked.max_cost / 4)
        if self.spent() + while_stopping >= self.asked.max_cost:
            return f"{self.spent():.2f} of {self.asked.max_cost:.2f} are spent"
        return None

    @property
    def _elapsed(self) -> float:
        return self.clock() - self.begun

    @property
    def _reserve(self) -> float:
        """Seconds before the deadline at which all must stop."""
        return min(STOPPING_SECONDS, self.asked.deadline / 4) if math.isfinite(self.asked.deadline) else 0.0

    def _seconds(self, key: str, width: int) -> float:
        return (self.seconds_of(key) or 0.0) / width

    def _places(self, key: str, width: int) -> int:
        return self.driver.places(key, width, self.node())


def worker_shape(capacity: ClusterResources, threads: int) -> Workers:
    """Return what one worker is given: its CPU threads; or a GPU and its share of the node's CPUs."""
    shares = [cpus // gpus for cpus, gpus in capacity.nodes if gpus]
    return Workers(1, float(max(1, min(threads, *shares))), 1.0) if shares else Workers(1, float(threads))


def slots(capacity: ClusterResources, worker: Workers) -> int:
    """Return how many workers there is room for."""
    return sum(places_of(capacity, worker))


def places_of(capacity: ClusterResources, worker: Workers) -> list[int]:
    """Return for how many workers each node has room: one a GPU, or one for so many CPU threads."""
    return [gpus if worker.gpus else int(cpus // worker.cpus) for cpus, gpus in capacity.nodes]


def too_wide_message(stages: int, worker: Workers) -> str:
    """Return the message that stages can never run."""
    return (
        f"{stages} stages are wider than the cluster: each needs {worker.cpus:g} CPUs on one node (recipe.threads), "
        "and no node has so many. Take fewer threads (--set recipe.threads=…) or another cluster (--address)"
    )


def too_wide_here(threads: Sequence[int]) -> str | None:
    """Say that this machine alone can never run stages of so many CPU threads each; None if it can."""
    here = ClusterResources(((os.cpu_count() or 1, len(gpu_capabilities())),))
    worker = worker_shape(here, max(threads))
    return None if slots(here, worker) else too_wide_message(len(threads), worker)


def resources(worker: Workers) -> Mapping[str, float]:
    """Return what Ray is asked for one worker."""
    return {"CPU": worker.cpus} | ({"GPU": worker.gpus} if worker.gpus else {})
