"""Dispatch stages and record their outcomes, whichever backend executes them.

A backend (Ray Tune, or a test) asks for the next request and reports what happens to it. The driver knows nothing of
grids; the scheduler decides order, number of workers and retries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.engine.callbacks import CANCELLED, Callback
from sweep.engine.slot_accounts import SlotAccounts
from sweep.engine.trial_request import DEFAULTS, TrialOptions, TrialRequest
from sweep.schedule.budget import Admits, anything
from sweep.schedule.scheduler import Scheduler, State
from trainables.errors import StorageError
from trainables.hashing import short_key
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.study import Study

WORKER_LOST = "the process or node that ran it was lost"
HUNG = "it sent no heartbeat for too long, so its process was killed"
OUT_OF_MEMORY = "Ray killed its process because the node ran out of memory"
LONGEST_READING = 5.0
"""Seconds between two readings of the awake clock that count at most. The loop that runs a study reads it several times a
second."""


class AwakeClock:
    """A clock that stands still while this process does: after Ctrl-Z, or with the whole machine.

    What others sent in the meantime was not read, so their silence says nothing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start at zero.

        Args:
            clock: returns seconds, whether this process runs or not.
        """
        self._clock = clock
        self._read, self._time = clock(), 0.0

    def __call__(self) -> float:
        """Return the seconds during which this process was awake."""
        now = self._clock()
        self._time += min(now - self._read, LONGEST_READING)
        self._read = now
        return self._time


class Driver:
    """Runs the stages of a plan in the order of a scheduler."""

    def __init__(
        self,
        schedule: Scheduler,
        stages: Sequence[Stage],
        study: Study,
        runtime: RuntimeContext,
        callback: Callback,
        options: TrialOptions = DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start in the state of the schedule.

        Args:
            schedule: has the state of every stage.
            stages: of the plan.
            study: results are read from it.
            runtime: passed to every trial.
            callback: called at every event.
            options: passed to every trial.
            clock: returns seconds.
        """
        self._stages = {str(stage.key): stage for stage in stages}
        self._schedule, self._study, self._callback = schedule, study, callback
        self._runtime, self._options = runtime, options
        self.slots = SlotAccounts(clock)
        self._slots_by_memory: dict[tuple[str, int, int], int] = {}
        self._shares: dict[str, float] = {}
        self._awake = AwakeClock(clock)
        self._heartbeats: dict[str, float] = {}
        self._stopping = False
        self.limit: str | None = None

    @property
    def states(self) -> Mapping[str, State]:
        """State of every stage, by key."""
        return self._schedule.states

    @property
    def halted(self) -> str | None:
        """Why nothing more starts, if the run was given up."""
        return self._schedule.halted

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing more will start."""
        return self._schedule.idle if self._stopping else self._schedule.finished

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stopping

    def stop(self, limit: str | None = None) -> None:
        """Start nothing more. ``limit`` names the limit of the run that is the reason, if one is; the first is kept."""
        self._stopping = True
        self.limit = self.limit or limit

    @property
    def at_work(self) -> Mapping[str, int]:
        """Number of workers of each stage that runs, by key. A dispatched stage may still wait for its place."""
        return self.slots.running

    def share(self, key: str) -> float:
        """Return how much of a running stage is done, 0 to 1."""
        return self._shares.get(key, 0.0)

    def slots_per_worker(self, key: str, workers: int, slots_per_node: int) -> int:
        """Return how many slots each worker of a stage would hold if it started now: more than one after an OOM.

        Args:
            key: of the stage.
            workers: its number of workers; only a single worker holds more than one slot.
            slots_per_node: of the smallest node that has any: a worker cannot hold more.
        """
        if workers > 1:
            return 1
        return min(self._slots_by_memory.get(_memory_class(self._stages[key]), 1), max(1, slots_per_node))

    def next_request(
        self, slots: int, admits: Admits = anything, headroom: int = 0, slots_per_node: int = 1
    ) -> TrialRequest | None:
        """Return the next attempt to make, or None if none starts now.

        Args:
            slots: of the cluster now.
            admits: says why a stage may not start with a number of workers, if so.
            headroom: slots that an autoscaler may add.
            slots_per_node: of the smallest node that has any.
        """
        free = self.slots.free(slots, headroom, self._shares)
        started = None if self._stopping or free < 1 else self._schedule.start(free, slots, admits)
        if started is None:
            return None
        per_worker = self.slots_per_worker(started.key, started.num_workers, slots_per_node)
        self.slots.dispatch(started.key, started.num_workers, per_worker)
        worker = self._options.worker
        workers = replace(
            worker, count=started.num_workers, cpus=worker.cpus * per_worker, gpus=worker.gpus * per_worker
        )
        stage, location = self._stages[started.key], self._study.storage.location
        return TrialRequest(stage, location, self._runtime, started.attempt, workers, self._options.mirror)

    def on_started(self, request: TrialRequest) -> None:
        """Record that an attempt has its place and runs."""
        self.slots.start(str(request.stage.key), request.workers.count)
        self._callback.started(request.stage, request.attempt)

    def on_progress(self, key: str, progress: Mapping[str, Any]) -> None:
        """Record a heartbeat of a running stage.

        Args:
            key: of the stage.
            progress: the fields of ``StageProgress``.
        """
        self._heartbeats[key] = self._awake()
        self._shares[key] = progress["epoch"] / progress["epochs"]
        self._schedule.progressed(key, self._shares[key])
        self._callback.progressed(self._stages[key], progress)

    def unresponsive(self, seconds: float) -> list[str]:
        """Return the running stages whose last heartbeat is so many seconds old; each is returned again after as long.

        There is no time-out before the first heartbeat: until then data are fetched, or workers wait for nodes. Time in
        which this process stood still does not count.
        """
        now = self._awake()
        silent = [key for key, last in self._heartbeats.items() if now - last >= seconds]
        self._heartbeats |= dict.fromkeys(silent, now)
        return silent

    def on_ended(self, key: str, error: str | None) -> None:
        """Record that an attempt ended by itself. It succeeded if the study has a result of the stage.

        Args:
            key: of the stage.
            error: class and message of its exception; None if it raised none.
        """
        self._release(key)
        stage = self._stages[key]
        try:
            result = self._study.folder(stage).result()
        except (OSError, ValueError) as unreadable:
            self._fail(stage, f"its result cannot be read: {unreadable}", None)
            return
        if result is not None:
            self._schedule.done(key)
            self._callback.finished(stage, result)
        else:
            self._fail(stage, error or "NoResult: the stage ended without a result", error or "NoResult")

    def on_worker_lost(self, key: str, reason: str = WORKER_LOST) -> None:
        """Record that the process or node of an attempt is gone.

        Args:
            key: of the stage.
            reason: for people.
        """
        self._release(key)
        if self._is_done(key):
            self.on_ended(key, None)
        else:
            self._fail(self._stages[key], reason, None)

    def on_oom(self, key: str) -> None:
        """Record that the process of an attempt was killed because its node ran out of memory.

        Beside the same neighbours the next attempt would fail again. So it will hold twice the slots, and so will all stages
        of the same network, image size and batch size: in the end each has a node to itself.
        """
        like = _memory_class(self._stages[key])
        slots = 2 * self.slots.held[key] // self.slots.dispatched[key]
        self._slots_by_memory[like] = max(self._slots_by_memory.get(like, 1), slots)
        self.on_worker_lost(key, OUT_OF_MEMORY)

    def on_cancelled(self, key: str) -> None:
        """Record that a person stopped a running stage: the next run resumes it from its checkpoint."""
        self._release(key)
        waiting = [self._stages[given_up] for given_up in self._schedule.cancelled(key) if given_up != key]
        self._callback.failed(self._stages[key], CANCELLED, False, waiting)

    def on_corrupt_upstream(self, key: str, upstream: str, error: str) -> None:
        """Record that a stage found files of an upstream stage corrupt: the result of the upstream stage is retired.

        The stage and all it blocks wait for the next pass of the run, in which the upstream stage runs again.

        Args:
            key: of the stage.
            upstream: key of the upstream stage.
            error: class and message of the exception.
        """
        try:
            self._study.find(upstream).retire(error)
        except OSError as unreachable:
            self.on_worker_lost(key, str(unreachable))
        else:
            self.on_ended(key, error)

    def _is_done(self, key: str) -> bool:
        try:
            return self._study.states().get(short_key(key)) == "done"
        except StorageError:  # perhaps the reason why the stage was lost; it may be back for the next attempt
            return False

    def _release(self, key: str) -> None:
        self.slots.release(key)
        self._shares.pop(key, None)
        self._heartbeats.pop(key, None)

    def _fail(self, stage: Stage, message: str, error: str | None) -> None:
        """Let the schedule decide on a failed attempt; ``error`` is None if the worker was lost."""
        given_up = self._schedule.failed(str(stage.key), error)
        if given_up and error is None:  # an exception of its own it has written itself
            try:
                self._study.folder(stage).fail("Lost", message, "", self._schedule.attempts(str(stage.key)))
            except OSError as unwritable:  # Tune would swallow it
                self.stop(f"the study cannot be written to: {unwritable}")
        blocked = [self._stages[key] for key in given_up if key != stage.key]
        self._callback.failed(stage, message, not given_up, blocked)


def _memory_class(stage: Stage) -> tuple[str, int, int]:
    """What determines the memory of a stage, as far as is known before it runs."""
    return stage.architecture, stage.recipe.image_size, stage.recipe.batch_size
