"""How much may run: the workers that the cluster has room for, and the limits of the run, asked anew each time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sweep.driver import Driver
from sweep.limits import Admits, Limits, anything
from sweep.ray_session import Capacity
from trainables.site import Workers

REFRESH_SECONDS = 5.0
HOUR = 3600.0


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a run.

    Attributes:
        fail_fast: whether nothing more starts once a stage has failed for good.
        deadline: seconds from the beginning of the run in which it must end.
        max_cost: money it may cost.
        price: of one worker for one hour.
        widest: workers a stage is given at most; None: as many as there are GPUs, one where there are none.
    """

    fail_fast: bool = False
    deadline: float = math.inf
    max_cost: float = math.inf
    price: float = 0.0
    widest: int | None = None


@dataclass
class ClusterRoom:
    """The room of a real cluster.

    Attributes:
        capacity: returns what the cluster has now.
        worker: what one worker is given.
        driver: knows what runs.
        asked: the limits.
        seconds_of: estimate of the seconds a stage takes on one worker; None while nothing was measured.
    """

    capacity: Callable[[], Capacity]
    worker: Workers
    driver: Driver
    asked: Asked
    seconds_of: Callable[[str], float | None]
    clock: Callable[[], float] = time.monotonic
    _begun: float = field(init=False)
    _looked: float = field(init=False, default=-math.inf)
    _slots: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """The run begins now."""
        self._begun = self.clock()

    def slots(self) -> int:
        """Return how many workers there is room for."""
        if self.clock() - self._looked >= REFRESH_SECONDS:
            self._slots, self._looked = slots(self.capacity(), self.worker), self.clock()
        return self._slots

    def admits(self) -> Admits:
        """Return the rule by which stages are admitted now."""
        if math.isinf(self.asked.deadline) and math.isinf(self.asked.max_cost):
            return anything
        limits = Limits(self._seconds, self.asked.deadline, self.asked.max_cost, self.asked.price / HOUR)
        return limits.at(self.clock() - self._begun, self.spent())

    def spent(self) -> float:
        """Return the money spent, with what the running stages will still cost."""
        running = self.driver.widths
        still = sum(self._seconds(key, 1) * (1 - self.driver.share(key)) for key in running)
        return (self.driver.worker_seconds() + still) * self.asked.price / HOUR

    def over(self) -> str | None:
        """Say which limit is reached, so that all must stop now; or None."""
        if self.clock() - self._begun >= self.asked.deadline:
            return f"the deadline of {self.asked.deadline:.0f} s is reached"
        if self.driver.worker_seconds() * self.asked.price / HOUR >= self.asked.max_cost:
            return f"the money is spent: {self.asked.max_cost:g}"
        return None

    def _seconds(self, key: str, width: int) -> float:
        return (self.seconds_of(key) or 0.0) / width


def worker_shape(capacity: Capacity, threads: int) -> Workers:
    """Return what one worker is given: its CPU threads; or a GPU and its share of the node's CPUs."""
    shares = [cpus // gpus for cpus, gpus in capacity.nodes if gpus]
    return Workers(1, float(max(1, min(threads, *shares))), 1.0) if shares else Workers(1, float(threads))


def slots(capacity: Capacity, worker: Workers) -> int:
    """Return how many workers there is room for: one a GPU, or one for so many CPU threads."""
    return capacity.gpus if worker.gpus else sum(int(cpus // worker.cpus) for cpus, _ in capacity.nodes)


def resources(worker: Workers) -> Mapping[str, float]:
    """Return what Ray is asked for one worker."""
    return {"CPU": worker.cpus} | ({"GPU": worker.gpus} if worker.gpus else {})
