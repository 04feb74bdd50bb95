"""Which stage next, and how wide: a pure state machine, with no Ray, no files and no clock in it.

A stage starts as soon as its inputs exist and its width fits; among those that can, the one with the longest
remaining chain of work behind it goes first. Its width is the smallest with which that chain ends by the time at
which all the work that is left would be done, were it spread evenly over the slots. So stages are narrow, which is
cheapest, while there is plenty to do, and become wider towards the end and where others wait for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Literal, NamedTuple

from sweep.schedule.budget import Admits, anything
from sweep.schedule.graph import Graph
from sweep.schedule.graph import Task as Task
from sweep.schedule.parallelism import Speedup, doubled, speedup, wanted
from sweep.schedule.ready_queue import ReadyQueue, Verdict
from sweep.schedule.retry_policy import Attempts
from sweep.schedule.retry_policy import Budgets as Budgets

State = Literal["waiting", "ready", "running", "done", "failed", "blocked", "stopped", "excluded"]
Policy = Literal["longest chain", "first come"]


class AttemptStart(NamedTuple):
    """An attempt to make: the stage, the number of the attempt (from 1), the slots it is given."""

    key: str
    attempt: int
    width: int


class Scheduler:
    """The state of every stage, and the order in which they run.

    Raises:
        ValueError: if an upstream stage is unknown or the stages form a circle.
    """

    def __init__(
        self,
        tasks: Iterable[Task] | Graph,
        done: Iterable[str] = (),
        budgets: Budgets | None = None,
        *,
        running: Collection[str] = (),
        fail_fast: bool = False,
        order: Policy = "longest chain",
        faster: Speedup = speedup,
    ) -> None:
        """Begin with the given stages already done.

        Args:
            tasks: all stages.
            done: keys of those that are done; others are ignored.
            budgets: how often a stage is tried again.
            running: keys of those that run already, started by another schedule.
            fail_fast: whether nothing more starts once a stage has failed for good.
            order: which of the ready stages goes first; ``first come`` is there to be compared with.
            faster: speed-up of a width.
        """
        self.graph = tasks if isinstance(tasks, Graph) else Graph(tasks)
        self._tasks: Mapping[str, Task] = self.graph.tasks
        self._rank = {key: place for place, key in enumerate(self.graph.order)}
        self._attempts = Attempts(budgets)
        self._fail_fast, self._longest_first, self._faster = fail_fast, order == "longest chain", faster
        self._queue = ReadyQueue()
        self._arrivals = count()
        self._running = set(running)
        self._shares: dict[str, float] = {}
        self._overtaken: dict[str, int] = defaultdict(int)
        self._halted: str | None = None
        self.stopped_by: dict[str, str] = {}
        self.states: dict[str, State] = dict.fromkeys(self._tasks, "waiting")
        for key in set(done) & self._tasks.keys():
            self.states[key] = "done"
        self.states |= dict.fromkeys(self._running, "running")
        self._left = sum(task.cost for key, task in self._tasks.items() if self.states[key] != "done")
        self._lacking = {
            key: sum(self.states[up] != "done" for up in task.upstream) for key, task in self._tasks.items()
        }
        for key in self.graph.order:
            self._offer(key)

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will run any more."""
        return self.idle and (not self._queue or self._halted is not None)

    @property
    def halted(self) -> str | None:
        """Why nothing more starts: the first several stages failed alike, or one failed that was not to."""
        return self._halted

    @property
    def hopeless(self) -> str | None:
        """Why the run was given up: the first several stages failed alike; or None."""
        return self._attempts.hopeless

    @property
    def left(self) -> float:
        """Work at width 1 of all that is not done and not given up, in the unit of the tasks' costs."""
        return self._left

    def ready(self) -> list[str]:
        """Return the stages that may start now, the most urgent first."""
        return self._queue.keys()

    def start(self, free: int, slots: int, admits: Admits = anything) -> AttemptStart | None:
        """Take the most urgent stage that fits; None if none starts now.

        While nothing runs, a stage that fits ``free`` always starts (or is stopped, if it is not admitted).

        Args:
            free: slots that have nothing to do.
            slots: of the whole cluster.
            admits: says for a key and a width why the stage may not start, if so (deadline, money): see ``Limits``.
        """
        if self._halted is not None or free < 1:
            return None
        chosen: dict[str, int] = {}
        passed: list[str] = []

        def judge(key: str) -> Verdict:
            width = self._width(key, free, slots)
            if width is not None:
                width = self._admitted(key, width, free, slots, admits)
                if width == 0:
                    return Verdict.DROP
            if width is not None:
                chosen[key] = width
                return Verdict.TAKE
            passed.append(key)
            starving = self._overtaken[key] >= slots and self._tasks[key].narrowest <= slots
            return Verdict.HOLD if starving else Verdict.PASS

        key = self._queue.take(judge)
        if key is None:
            return None
        for late in passed:
            self._overtaken[late] += 1
        self._overtaken.pop(key, None)
        self.states[key] = "running"
        self._running.add(key)
        return AttemptStart(key, self._attempts.started(key), chosen[key])

    def progressed(self, key: str, share: float) -> None:
        """Take in the share of its work that a stage has done, 0 to 1: it makes widths and what is left truer."""
        share = min(1.0, max(0.0, share))
        self._left -= self._tasks[key].cost * (share - self._shares.get(key, 0.0))
        self._shares[key] = share

    def done(self, key: str) -> None:
        """Note that a running stage has its result."""
        self._leaves(key, "done")
        self._attempts.done()
        for down in self.graph.downstream[key]:
            self._lacking[down] -= 1
            self._offer(down)

    def set_aside(self, key: str) -> list[str]:
        """Note that a person stopped a running stage: it is left for another run, with all that waits for it."""
        return self._given_up(key, "stopped", "stopped")

    def stopped(self, key: str) -> None:
        """Note that a running stage was given back: drained, or interrupted. It is no failure and counts as none."""
        self._running.discard(key)
        self.states[key] = "waiting"
        self._offer(key)

    def failed(self, key: str, error: str | None) -> list[str]:
        """Note that a running stage failed, and decide whether it is tried again.

        Args:
            key: the stage.
            error: class and message of its exception; None where its process or node was lost.

        Returns:
            the stages that are now given up: none, or it and all that it blocks.
        """
        if self._attempts.again(key, error, self._shares.get(key, 0.0)):
            self.stopped(key)
            return []
        self._halted = self._attempts.hopeless or (f"a stage failed: {error}" if self._fail_fast else None)
        return self._given_up(key, "failed", "blocked")

    def attempts(self, key: str) -> int:
        """Return how often a stage was started."""
        return self._attempts.count(key)

    def _given_up(self, key: str, state: State, dependants: State) -> list[str]:
        """A stage that will not be done, and all that waits for it."""
        self._leaves(key, state)
        gone = [key]
        for up in gone:  # grows on the way: a chain may be longer than a stack
            for down in self.graph.downstream[up]:
                if self.states[down] == "waiting":
                    self._leaves(down, dependants)
                    gone.append(down)
        return gone

    def _leaves(self, key: str, state: State) -> None:
        self._running.discard(key)
        self.states[key] = state
        self._left = max(0.0, self._left - self._rest(key))

    def _offer(self, key: str) -> None:
        if self.states[key] == "waiting" and not self._lacking[key]:
            self.states[key] = "ready"
            task, chain = self._tasks[key], self._rest(key) + self.graph.behind[key]
            shape = (task.widest, task.narrowest, self._rest(key))
            if self._longest_first:
                self._queue.add(key, chain, self._rank[key], shape)
            else:
                self._queue.add(key, 0.0, next(self._arrivals), shape)

    def _rest(self, key: str) -> float:
        return self._tasks[key].cost * (1 - self._shares.get(key, 0.0))

    def _width(self, key: str, free: int, slots: int) -> int | None:
        """How wide a stage starts now; None where it had better wait for more slots, or has to."""
        task = self._tasks[key]
        least, most = task.narrowest, max(task.narrowest, min(task.widest, slots))
        if least > free:
            return None
        if least == most:
            return least
        rest, behind, horizon = self._rest(key), self.graph.behind[key], self._left / max(1, slots)
        shared = doubled(least, min(most, free // len(self._queue)))
        width = max(shared, wanted(rest + behind, horizon, least, most, self._faster))
        if width <= free:
            return width
        width = doubled(least, free)
        if self.idle or rest / self._faster(width) <= horizon:
            return width
        return None  # at so few slots it would end after all else: those that fit go first

    def _admitted(self, key: str, width: int, free: int, slots: int, admits: Admits) -> int | None:
        """The width at which a stage may start now; None: not at once; 0: at no width, and it is stopped."""
        if admits is anything:
            return width
        least, most = self._tasks[key].narrowest, max(self._tasks[key].narrowest, min(self._tasks[key].widest, slots))
        widths = [least << i for i in range((doubled(least, most) // least).bit_length())]
        by_nearness = sorted(widths, key=lambda w: (w < width, abs(w - width)))  # wider ones end sooner
        reasons = {}
        for candidate in by_nearness:
            reasons[candidate] = admits(key, candidate)
            if reasons[candidate] is None:
                return candidate if candidate <= free else None
        for gone in self._given_up(key, "stopped", "stopped"):
            self.stopped_by[gone] = str(reasons[width])
        return 0
