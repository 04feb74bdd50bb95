"""A schedule in simulated time: how long a plan takes on so many slots, and what they do meanwhile.

The code that decides is the one that runs the study; only the clock is made up. What is assumed: the work of
each stage, and what widening brings (``widths.EXPONENT``). ``python -m sweep.simulate --grid full_study`` prints
the makespan beside its lower bound, phases with barriers and first-come order.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweep.schedule.graph import Graph, Task
from sweep.schedule.parallelism import Speedup, doubled, speedup
from sweep.schedule.scheduler import Policy, Scheduler

PULSES = 500
"""So often, over a run, all running stages tell how far they are."""

BARRIER = "barrier between phases "


@dataclass(frozen=True)
class Span:
    """One stage on the timeline: when, and on how many slots."""

    key: str
    begin: float
    end: float
    width: int


@dataclass(frozen=True)
class SimulatedRun:
    """A simulated run.

    Attributes:
        makespan: from the beginning to the end of the last stage, in the unit of the tasks' costs.
        slots: of the cluster.
        spans: what ran when, in order of the ends.
    """

    makespan: float
    slots: int
    spans: tuple[Span, ...] = field(repr=False)

    @property
    def slot_time(self) -> float:
        """Slots × time in use: what is paid for where idle ones are not."""
        return sum((span.end - span.begin) * span.width for span in self.spans)

    @property
    def busy(self) -> float:
        """Share of all slots × makespan that was in use."""
        return self.slot_time / (self.slots * self.makespan) if self.makespan else 1.0


def simulate(
    tasks: Iterable[Task] | Graph,
    slots: int,
    done: Collection[str] = (),
    running: Mapping[str, int] | None = None,
    order: Policy = "longest chain",
    faster: Speedup = speedup,
    actual: Mapping[str, float] | None = None,
) -> SimulatedRun:
    """Run tasks in simulated time, nothing failing.

    Args:
        tasks: all stages; ``cost`` is the time each takes (what is left of it) at width 1.
        slots: of the cluster.
        done: keys of those that are done.
        running: width of each stage that runs already: those go on first.
        order: which of the ready stages goes first.
        faster: speed-up of a width.
        actual: time that a stage takes at width 1 where it is not the one the schedule expects.

    Raises:
        ValueError: if a stage needs more slots than there are.
    """
    running = running or {}
    schedule = Scheduler(tasks, done, running=running, order=order, faster=faster)
    return _Simulation(schedule, slots, faster, actual or {}).run(running)


class _Simulation:
    def __init__(self, schedule: Scheduler, slots: int, faster: Speedup, actual: Mapping[str, float]) -> None:
        self._schedule, self._slots, self._faster = schedule, slots, faster
        self._actual = actual
        self._free, self._now, self._told = slots, 0.0, 0.0
        self._pulse = schedule.left / slots / PULSES
        self._under_way: dict[str, Span] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._spans: list[Span] = []

    def run(self, running: Mapping[str, int]) -> SimulatedRun:
        for key, width in running.items():
            self._begin(key, width)
        while True:
            while self._free > 0 and (started := self._schedule.start(self._free, self._slots)):
                self._begin(started.key, started.width)
            if not self._ends:
                break
            self._next_end()
        if not self._schedule.finished:
            raise ValueError(f"{len(self._schedule.ready())} stages need more than {self._slots} slots")
        return SimulatedRun(self._now, self._slots, tuple(self._spans))

    def _begin(self, key: str, width: int) -> None:
        end = self._now + self._actual.get(key, self._schedule.graph.tasks[key].cost) / self._faster(width)
        self._under_way[key] = Span(key, self._now, end, width)
        heapq.heappush(self._ends, (end, len(self._spans) + len(self._under_way), key))
        self._free -= width

    def _next_end(self) -> None:
        """Go on to the next end, and take in all that end at that moment."""
        self._now = self._ends[0][0]
        while self._ends and self._ends[0][0] <= self._now:
            span = self._under_way.pop(heapq.heappop(self._ends)[2])
            self._spans.append(span)
            self._free += span.width
            self._schedule.done(span.key)
        if self._now - self._told >= self._pulse:  # now and then: a real stage does not tell all the time either
            self._told = self._now
            for key, span in self._under_way.items():
                if span.end > span.begin:
                    self._schedule.progressed(key, (self._now - span.begin) / (span.end - span.begin))


def lower_bound(tasks: Iterable[Task], slots: int, faster: Speedup = speedup) -> float:
    """Return a time that no schedule can beat: all work spread evenly, or the longest chain at its widest."""
    tasks = list(tasks)
    fastest = [
        replace(task, cost=task.cost / faster(doubled(task.narrowest, max(task.narrowest, min(task.widest, slots)))))
        for task in tasks
    ]
    return max(sum(task.cost for task in tasks) / slots, Graph(fastest).longest_chain()[0])


def at_width_one(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks, each on as few slots as it can do with."""
    return [replace(task, widest=task.narrowest) for task in tasks]


def with_barriers(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks with a barrier before each phase: a stage waits for all that are fewer steps from the start."""
    depth = Graph(tasks).depths()
    phases = range(1, max(depth.values(), default=0) + 1)
    walls = [Task(f"{BARRIER}{p}", tuple(k for k, d in depth.items() if d == p - 1), 0.0) for p in phases]
    behind = [replace(task, upstream=(f"{BARRIER}{depth[task.key]}",)) if depth[task.key] else task for task in tasks]
    return [*walls, *behind]
