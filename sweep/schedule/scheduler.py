"""Which stage starts next, and on how many workers: a pure state machine, with no Ray, no files and no clock in it.

A stage is ready as soon as its upstream stages are done. Among the ready ones a policy decides, by default: the longest
remaining chain of work first. A stage gets the fewest workers with which that chain ends by the **even finish**, the
time at which all remaining work would be done if it were spread evenly over the slots. So stages have one worker each,
which is cheapest, while there is plenty to do, and more towards the end and where others wait for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Literal, NamedTuple

from sweep.schedule.budget import Admits, anything
from sweep.schedule.graph import Graph
from sweep.schedule.graph import Task as Task
from sweep.schedule.parallelism import Speedup, fewest_in_time, largest_doubling, speedup
from sweep.schedule.policies import ReadyStage, find_policy
from sweep.schedule.ready_queue import ReadyQueue
from sweep.schedule.retry_policy import Attempts
from sweep.schedule.retry_policy import Budgets as Budgets

State = Literal["waiting", "ready", "running", "done", "failed", "blocked", "stopped", "excluded"]


class AttemptStart(NamedTuple):
    """An attempt to make: the stage, the number of the attempt (from 1), the workers it is given."""

    key: str
    attempt: int
    num_workers: int


class Scheduler:
    """The state of every stage, and the order in which they run."""

    def __init__(
        self,
        tasks: Iterable[Task] | Graph,
        done: Iterable[str] = (),
        budgets: Budgets | None = None,
        *,
        running: Collection[str] = (),
        fail_fast: bool = False,
        policy: str = "longest chain",
        scaling: Speedup = speedup,
    ) -> None:
        """Begin with the given stages already done.

        Args:
            tasks: all stages.
            done: keys of those that are done; unknown keys are ignored.
            budgets: how often a stage is tried again.
            running: keys of those that run already, started by another scheduler.
            fail_fast: whether nothing more starts once a stage has failed for good.
            policy: name of the one in ``policies.POLICIES`` that orders the ready stages.
            scaling: speed-up of a number of workers.

        Raises:
            ValueError: if an upstream stage is unknown, the stages form a cycle, or there is no such policy.
        """
        self.graph = tasks if isinstance(tasks, Graph) else Graph(tasks)
        self._tasks: Mapping[str, Task] = self.graph.tasks
        self._place = {key: place for place, key in enumerate(self.graph.order)}
        self._attempts = Attempts(budgets)
        self._fail_fast, self._priority, self._scaling = fail_fast, find_policy(policy), scaling
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
        self._remaining_work = sum(task.cost for key, task in self._tasks.items() if self.states[key] != "done")
        self._missing_upstream = {
            key: sum(self.states[up] != "done" for up in task.upstream) for key, task in self._tasks.items()
        }
        for key in self.graph.order:
            self._enqueue_if_ready(key)

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
        """Why nothing more starts (the first stages all failed with one error; ``fail_fast``), or None."""
        return self._halted

    @property
    def remaining_work(self) -> float:
        """Work of all stages that may still be done, on one worker each, in the unit of the tasks' costs."""
        return self._remaining_work

    def ready(self) -> list[str]:
        """Return the keys of the stages that may start now, in the policy's order."""
        return self._queue.keys()

    def start(self, free: int, slots: int, admits: Admits = anything) -> AttemptStart | None:
        """Start the first stage of the policy's order that fits.

        While nothing runs, a stage that fits ``free`` always starts (or is stopped, if it is not admitted).

        Args:
            free: slots that have nothing to do.
            slots: of the whole cluster.
            admits: whether a stage may start on a number of workers, or why not (deadline, money): see ``Budget``.

        Returns:
            The attempt to make, or None if no stage starts now.
        """
        if self._halted is not None or free < 1:
            return None
        passed: list[str] = []
        for key in self._queue.candidates():
            num_workers = self._num_workers(key, free, slots)
            if num_workers is not None:
                num_workers = self._admitted(key, num_workers, free, slots, admits)
            if num_workers == 0:
                self._queue.remove(key)
            elif num_workers is not None:
                return self._begin(key, num_workers, passed)
            else:
                passed.append(key)
                if self._overtaken[key] >= slots >= self._tasks[key].min_workers:
                    return None  # it was overtaken as often as there are slots: nothing starts before it
        return None

    def progressed(self, key: str, share: float) -> None:
        """Update how much of a running stage is done: numbers of workers and the remaining work depend on it.

        Args:
            key: the stage.
            share: of its work that is done, 0 to 1.
        """
        share = min(1.0, max(0.0, share))
        self._remaining_work -= self._tasks[key].cost * (share - self._shares.get(key, 0.0))
        self._shares[key] = share

    def done(self, key: str) -> None:
        """Record that a running stage has its result."""
        self._end(key, "done")
        self._attempts.done()
        for down in self.graph.downstream[key]:
            self._missing_upstream[down] -= 1
            self._enqueue_if_ready(down)

    def cancelled(self, key: str) -> list[str]:
        """Record that a person stopped a running stage: it is left for another run.

        Returns:
            The stages that are now stopped: it, and all that wait for it.
        """
        return self._give_up(key, "stopped", "stopped")

    def preempted(self, key: str) -> None:
        """Record that a running stage lost its place (a drained node, an interrupt): ready again, no failure."""
        self._running.discard(key)
        self.states[key] = "waiting"
        self._enqueue_if_ready(key)

    def failed(self, key: str, error: str | None) -> list[str]:
        """Record that a running stage failed, and decide whether it is tried again.

        Args:
            key: the stage.
            error: class and message of its exception; None where its process or node was lost.

        Returns:
            The stages that are now given up: none, or it and all that it blocks.
        """
        if self._attempts.retry(key, error, self._shares.get(key, 0.0)):
            self.preempted(key)
            return []
        self._halted = self._attempts.common_failure or (f"a stage failed: {error}" if self._fail_fast else None)
        return self._give_up(key, "failed", "blocked")

    def attempts(self, key: str) -> int:
        """Return how often a stage was started."""
        return self._attempts.count(key)

    def _begin(self, key: str, num_workers: int, overtakes: Iterable[str]) -> AttemptStart:
        for other in overtakes:
            self._overtaken[other] += 1
        self._overtaken.pop(key, None)
        self._queue.remove(key)
        self.states[key] = "running"
        self._running.add(key)
        return AttemptStart(key, self._attempts.started(key), num_workers)

    def _give_up(self, key: str, state: State, dependants: State) -> list[str]:
        """End a stage that will not be done, and all that wait for it."""
        self._end(key, state)
        gone = [key]
        for up in gone:  # grows meanwhile: a chain may be longer than Python's stack
            for down in self.graph.downstream[up]:
                if self.states[down] == "waiting":
                    self._end(down, dependants)
                    gone.append(down)
        return gone

    def _end(self, key: str, state: State) -> None:
        self._running.discard(key)
        self.states[key] = state
        self._remaining_work = max(0.0, self._remaining_work - self._work(key))

    def _enqueue_if_ready(self, key: str) -> None:
        if self.states[key] == "waiting" and not self._missing_upstream[key]:
            self.states[key] = "ready"
            task, work = self._tasks[key], self._work(key)
            stage = ReadyStage(work, self.graph.chain_after[key], self._place[key], next(self._arrivals))
            self._queue.add(key, self._priority(stage), (task.max_workers, task.min_workers, work))

    def _work(self, key: str) -> float:
        """What is left of a stage's work."""
        return self._tasks[key].cost * (1 - self._shares.get(key, 0.0))

    def _limits(self, key: str, slots: int) -> tuple[int, int]:
        """The fewest and the most workers of a stage on so many slots."""
        task = self._tasks[key]
        return task.min_workers, max(task.min_workers, min(task.max_workers, slots))

    def _num_workers(self, key: str, free: int, slots: int) -> int | None:
        """The number of workers on which a stage starts now; None where it has to, or had better, wait for more slots."""
        least, most = self._limits(key, slots)
        if least > free:
            return None
        if least == most:
            return least
        work, even_finish = self._work(key), self._remaining_work / max(1, slots)
        chain = work + self.graph.chain_after[key]
        even_share = largest_doubling(least, min(most, free // len(self._queue)))
        num_workers = max(even_share, fewest_in_time(chain, even_finish, least, most, self._scaling))
        if num_workers <= free:
            return num_workers
        num_workers = largest_doubling(least, free)
        if self.idle or work / self._scaling(num_workers) <= even_finish:
            return num_workers
        return None  # on so few it would end after everything else: stages that fit go first

    def _admitted(self, key: str, num_workers: int, free: int, slots: int, admits: Admits) -> int | None:
        """The number of workers on which a stage may start; None: not now; 0: on none, and the stage is stopped."""
        if admits is anything:
            return num_workers
        least, most = self._limits(key, slots)
        allowed = [least << i for i in range((largest_doubling(least, most) // least).bit_length())]
        reasons = {}
        for n in sorted(allowed, key=lambda n: (n < num_workers, abs(n - num_workers))):  # more workers end sooner
            reasons[n] = admits(key, n)
            if reasons[n] is None:
                return n if n <= free else None
        for gone in self._give_up(key, "stopped", "stopped"):
            self.stopped_by[gone] = str(reasons[num_workers])
        return 0
