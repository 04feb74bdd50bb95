"""What all ways of running share: hand out stages, take in what became of them.

A way of running (Ray Tune, a foreground process) asks for the next order and reports back. It knows
nothing of grids, retries or selection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweep.engine.callbacks import SET_ASIDE, Callback
from sweep.engine.trial_request import TrialRequest
from sweep.schedule.budget import Admits, anything
from sweep.schedule.scheduler import Scheduler, State
from trainables.errors import StorageError
from trainables.hashing import short_key
from trainables.runtime import ONE_WORKER, RuntimeContext, Workers
from trainables.specs import Stage
from trainables.store.study import Study

LOST = "the process or node that ran it was lost"
HUNG = "it gave no sign of life for too long, so its process was ended"
CROWDED = "Ray killed its process for want of memory"


class Driver:
    """Runs a set of stages through a schedule, whoever executes them."""

    def __init__(
        self,
        schedule: Scheduler,
        stages: Sequence[Stage],
        study: Study,
        runtime: RuntimeContext,
        watcher: Callback,
        worker: Workers = ONE_WORKER,
        clock: Callable[[], float] = time.monotonic,
        mirror: dict[str, Any] | None = None,
    ) -> None:
        """Begin where the schedule stands. ``worker`` says what a single worker is given."""
        self._stages = {str(stage.key): stage for stage in stages}
        self._schedule = schedule
        self._study = study
        self._site = runtime
        self._watcher = watcher
        self._worker = worker
        self._clock = clock
        self._mirror = mirror
        self._widths: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._crowded: dict[tuple[str, int, int], int] = {}
        self._at_work: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._worker_seconds, self._counted_until = 0.0, clock()
        self._stopping = False
        self.limit: str | None = None

    @property
    def states(self) -> Mapping[str, State]:
        """The state of every stage, by key."""
        return self._schedule.states

    @property
    def halted(self) -> str | None:
        """Why nothing more starts, where the run was given up."""
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
        """Start nothing more; say which limit of the run is the reason, if one is."""
        self._stopping = True
        self.limit = self.limit or limit

    @property
    def widths(self) -> Mapping[str, int]:
        """The stages that were handed out and have not ended -> their number of workers."""
        return self._widths

    @property
    def at_work(self) -> Mapping[str, int]:
        """The same of those that have their place: one may be handed out ahead of it."""
        return self._at_work

    @property
    def busy(self) -> int:
        """How many workers have a stage, or are kept free beside one for its memory."""
        return sum(self._held.get(key, width) for key, width in self._at_work.items())

    def share(self, key: str) -> float:
        """Return how much of a running stage is done, 0 to 1."""
        return self._shares.get(key, 0.0)

    def worker_seconds(self) -> float:
        """Return for how many seconds workers were given to stages, in all."""
        now = self._clock()
        self._worker_seconds += (now - self._counted_until) * self.busy
        self._counted_until = now
        return self._worker_seconds

    @property
    def held(self) -> Mapping[str, int]:
        """The places that the stages of ``widths`` hold: one a worker, more of what was killed for want of memory."""
        return self._held

    def places(self, key: str, width: int, node: int) -> int:
        """Return how many places each worker of a stage would hold if it started now."""
        return min(self._crowded.get(_like(self._stages[key]), 1), max(1, node)) if width == 1 else 1

    def next(self, slots: int, admits: Admits = anything, growth: int = 0, node: int = 1) -> TrialRequest | None:
        """Return the next attempt to make, or None if there is none now.

        Args:
            slots: how many workers the cluster has room for.
            growth: for how many more it may grow, if stages wait for them.
            admits: says why a stage may not start at a width, if so.
            node: how many workers any node has room for: as many places a single one may hold.
        """
        free = self._free(slots, growth)
        started = None if self._stopping or free < 1 else self._schedule.start(free, slots, admits)
        if started is None:
            return None
        stage = self._stages[started.key]
        places = self.places(started.key, started.num_workers, node)
        self._widths[started.key], self._held[started.key] = started.num_workers, started.num_workers * places
        cpus, gpus = self._worker.cpus * places, self._worker.gpus * places
        workers = replace(self._worker, count=started.num_workers, cpus=cpus, gpus=gpus)
        return TrialRequest(stage, self._study.storage.location, self._site, started.attempt, workers, self._mirror)

    def _free(self, slots: int, growth: int) -> int:
        """How many slots a stage may take.

        One narrow stage is handed out beyond what there is room for, so that the next trial process is warm. (A process
        that idles in the place of a wide stage Tune ends as soon as it hears of that stage.) Where the cluster may grow,
        one more for each worker that may come: what waits for a place is what an autoscaler sees, and it is gone as
        soon as this driver is, however it ends. But none while a wide stage waits for its places: it could take one.
        """
        free = slots - sum(self._held.values())
        if free > 0:
            return free
        wide = [key for key, width in self._widths.items() if width > 1 and not (growth and key in self._shares)]
        return int(not wide and -free <= growth)

    def began(self, order: TrialRequest) -> None:
        """Take in that an attempt has its place and runs."""
        self.worker_seconds()
        self._at_work[str(order.stage.key)] = order.workers.count
        self._watcher.started(order.stage, order.attempt)

    def progressed(self, key: str, progress: Mapping[str, Any]) -> None:
        """Take in a sign of life of a running stage."""
        self._heard[key] = self._clock()
        self._shares[key] = progress["epoch"] / progress["epochs"]
        self._schedule.progressed(key, self._shares[key])
        self._watcher.progressed(self._stages[key], progress)

    def silent(self, seconds: float) -> list[str]:
        """Return the running stages that gave no sign of life for so long, and wait as long before they are named again.

        It counts from the first sign on: until then data are fetched, or workers wait for nodes to come, however long.
        """
        now = self._clock()
        silent = [key for key, heard in self._heard.items() if now - heard >= seconds]
        self._heard |= dict.fromkeys(silent, now)
        return silent

    def ended(self, key: str, error: str | None) -> None:
        """Take in the end of an attempt that came to its own end: the error, or None where it succeeded.

        The study is asked, not the message: without a result there is no success.
        """
        self._leaves(key)
        stage = self._stages[key]
        try:
            result = self._study.folder(stage).result()
        except (OSError, ValueError) as unreadable:
            self._failed(stage, f"its result cannot be read: {unreadable}", None)
            return
        if result is not None:
            self._schedule.done(key)
            self._watcher.finished(stage, result)
        else:
            self._failed(stage, error or "NoResult: the stage ended without a result", error or "NoResult")

    def lost(self, key: str, what: str = LOST) -> None:
        """Take in that the process or node of an attempt is gone."""
        self._leaves(key)
        stage = self._stages[key]
        if self._is_done(key):
            self.ended(key, None)
        else:
            self._failed(stage, what, None)

    def crowded(self, key: str) -> None:
        """Take in that the process of an attempt was killed for want of memory.

        Beside the same neighbours the next attempt would fare no better. So it holds twice the places of a node, and so
        do all stages of the same network, image size and batch: in the end they run alone.
        """
        like = _like(self._stages[key])
        self._crowded[like] = max(self._crowded.get(like, 1), 2 * self._held[key] // self._widths[key])
        self.lost(key, CROWDED)

    def _is_done(self, key: str) -> bool:
        try:
            return self._study.states().get(short_key(key)) == "done"
        except StorageError:  # it may be what the stage was lost by, and be back for the next attempt
            return False

    def set_aside(self, key: str) -> None:
        """Take in that a person stopped a running stage: it goes on from its checkpoint in another run."""
        self._leaves(key)
        waiting = [self._stages[gone] for gone in self._schedule.cancelled(key) if gone != key]
        self._watcher.failed(self._stages[key], SET_ASIDE, False, waiting)

    def damaged(self, key: str, upstream: str, error: str) -> None:
        """Take in that a stage found its upstream's files damaged: the upstream's result is taken back.

        The stage and all it blocks wait for the next pass, in which the upstream is done again.
        """
        try:
            self._study.find(upstream).retire(error)
        except OSError as unreachable:
            self.lost(key, str(unreachable))
        else:
            self.ended(key, error)

    def _leaves(self, key: str) -> None:
        self.worker_seconds()
        self._shares.pop(key, None)
        self._heard.pop(key, None)
        self._at_work.pop(key, None)
        self._widths.pop(key, None)
        self._held.pop(key, None)

    def _failed(self, stage: Stage, shown: str, error: str | None) -> None:
        given_up = self._schedule.failed(str(stage.key), error)
        if given_up and error is None:  # an error of its own it has written itself
            try:
                self._study.folder(stage).fail("Lost", shown, "", self._schedule.attempts(str(stage.key)))
            except OSError as unwritable:  # raised, it would be lost in Tune
                self.stop(f"the study cannot be written to: {unwritable}")
        blocked = [self._stages[key] for key in given_up if key != stage.key]
        self._watcher.failed(stage, shown, not given_up, blocked)


def _like(stage: Stage) -> tuple[str, int, int]:
    """What decides how much memory a stage takes, as far as is known before it runs."""
    return stage.architecture, stage.recipe.image_size, stage.recipe.batch_size
