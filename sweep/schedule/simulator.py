"""Discrete-event simulation of a schedule: how long a plan takes on a number of slots, and what they do meanwhile.

The scheduler is the one that runs the study; only the clock is simulated. Assumed are the work of each stage and the
speed-up of several workers (``parallelism.EXPONENT``). ``python -m sweep.simulate --grid full_study`` prints the makespan
beside its lower bound, phases with barriers, and first-come order.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweep.schedule.graph import Graph, Task
from sweep.schedule.parallelism import Speedup, largest_doubling, speedup
from sweep.schedule.scheduler import Scheduler

PROGRESS_REPORTS = 500
"""How often during a run the running stages report their progress, about."""

BARRIER = "barrier between phases "


@dataclass(frozen=True)
class Span:
    """One stage on the timeline: from when to when, and on how many workers."""

    key: str
    begin: float
    end: float
    num_workers: int


@dataclass(frozen=True)
class SimulatedRun:
    """A simulated run.

    Attributes:
        makespan: from the start to the end of the last stage, in the unit of the tasks' costs.
        slots: of the cluster.
        spans: what ran when, in order of the ends.
    """

    makespan: float
    slots: int
    spans: tuple[Span, ...] = field(repr=False)

    @property
    def slot_time(self) -> float:
        """Sum over the slots of their time in use: what is paid for if idle slots are given back."""
        return sum((span.end - span.begin) * span.num_workers for span in self.spans)

    @property
    def busy(self) -> float:
        """Share of all slots × makespan that was in use, 0 to 1."""
        return self.slot_time / (self.slots * self.makespan) if self.makespan else 1.0


def simulate(
    tasks: Iterable[Task] | Graph,
    slots: int,
    done: Collection[str] = (),
    running: Mapping[str, int] | None = None,
    policy: str = "longest chain",
    scaling: Speedup = speedup,
    actual: Mapping[str, float] | None = None,
) -> SimulatedRun:
    """Run tasks in simulated time; none fails.

    Args:
        tasks: all stages; ``cost`` is the time each takes (or what is left of it) on one worker.
        slots: of the cluster.
        done: keys of those that are done.
        running: number of workers of each stage that runs already.
        policy: which of the ready stages starts first, a name in ``policies.POLICIES``.
        scaling: speed-up of a number of workers.
        actual: key -> time on one worker, where it differs from the expected ``cost``.

    Returns:
        The run, until all tasks are done.

    Raises:
        ValueError: if a stage needs more slots than there are.
    """
    running = running or {}
    scheduler = Scheduler(tasks, done, running=running, policy=policy, scaling=scaling)
    return _Simulation(scheduler, slots, scaling, actual or {}).run(running)


class _Simulation:
    def __init__(self, scheduler: Scheduler, slots: int, scaling: Speedup, actual: Mapping[str, float]) -> None:
        self._scheduler, self._slots, self._scaling = scheduler, slots, scaling
        self._actual = actual
        self._free, self._now, self._last_report = slots, 0.0, 0.0
        self._report_every = scheduler.remaining_work / slots / PROGRESS_REPORTS
        self._running: dict[str, Span] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._spans: list[Span] = []

    def run(self, running: Mapping[str, int]) -> SimulatedRun:
        for key, num_workers in running.items():
            self._begin(key, num_workers)
        while True:
            while self._free > 0 and (started := self._scheduler.start(self._free, self._slots)):
                self._begin(started.key, started.num_workers)
            if not self._ends:
                break
            self._next_end()
        if not self._scheduler.finished:
            raise ValueError(f"{len(self._scheduler.ready())} stages need more than {self._slots} slots")
        return SimulatedRun(self._now, self._slots, tuple(self._spans))

    def _begin(self, key: str, num_workers: int) -> None:
        time = self._actual.get(key, self._scheduler.graph.tasks[key].cost) / self._scaling(num_workers)
        span = self._running[key] = Span(key, self._now, self._now + time, num_workers)
        heapq.heappush(self._ends, (span.end, len(self._spans) + len(self._running), key))
        self._free -= num_workers

    def _next_end(self) -> None:
        """Advance the clock to the next end and record all stages that end at that moment."""
        self._now = self._ends[0][0]
        while self._ends and self._ends[0][0] <= self._now:
            span = self._running.pop(heapq.heappop(self._ends)[2])
            self._spans.append(span)
            self._free += span.num_workers
            self._scheduler.done(span.key)
        if self._now - self._last_report >= self._report_every:
            self._last_report = self._now
            for key, span in self._running.items():
                if span.end > span.begin:
                    self._scheduler.progressed(key, (self._now - span.begin) / (span.end - span.begin))


def lower_bound(tasks: Iterable[Task], slots: int, scaling: Speedup = speedup) -> float:
    """Return a time that no schedule can beat: all work spread evenly, or the longest chain on the most workers.

    Args:
        tasks: all stages.
        slots: of the cluster.
        scaling: speed-up of a number of workers.
    """
    tasks = list(tasks)
    fastest = []
    for task in tasks:
        most = largest_doubling(task.min_workers, max(task.min_workers, min(task.max_workers, slots)))
        fastest.append(replace(task, cost=task.cost / scaling(most)))
    return max(sum(task.cost for task in tasks) / slots, Graph(fastest).longest_chain()[0])


def with_fewest_workers(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks, each limited to its fewest workers."""
    return [replace(task, max_workers=task.min_workers) for task in tasks]


def with_barriers(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with a barrier between phases: a stage waits for all stages of smaller depth in the graph."""
    depth = Graph(tasks).depths()
    phases = range(1, max(depth.values(), default=0) + 1)
    barriers = [Task(f"{BARRIER}{p}", tuple(k for k, d in depth.items() if d == p - 1), 0.0) for p in phases]
    held_back = [
        replace(task, upstream=(f"{BARRIER}{depth[task.key]}",)) if depth[task.key] else task for task in tasks
    ]
    return [*barriers, *held_back]
