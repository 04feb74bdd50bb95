"""The stages of a study in one Ray Tune experiment: Tune's searcher asks the driver what comes next.

Tune gives us reused trial processes, placement on a cluster and the news of lost nodes. Order, retries
and results are ours, so a trial that fails is a trial that ended; Tune never repeats one.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.search import Searcher

from sweep.engine.capacity import resources
from sweep.engine.driver import HUNG, LOST, Driver
from sweep.engine.trial_request import TrialRequest
from sweep.mirror.worker import Mirror
from sweep.schedule.budget import Admits
from trainables.errors import DamagedError, LostError
from trainables.stage.preemption import NOTICE, is_draining

REPORTED = "sweep_report"
"""Name under which a trial's report travels in Tune's results."""
PENDING = 1_000_000
"""Trials that Tune may have asked for and not started yet. Its own rule would be 1 for a searcher of one's own."""
MIRROR_SECONDS = 10.0
"""A process that ends waits at most so long for what W&B is still to be told. ``sweep.wandb sync`` tells the rest."""


class NodeDrainedError(Exception):
    """The node is about to be taken, and this process with it."""


class StageTrial(tune.Trainable):
    """One attempt at a stage in a trial process that the next attempt reuses."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first attempt."""
        self._mirror = Mirror()
        self._drained = False
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next attempt in the same process: torch and Ray are warm."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the end of the next epoch. An error is reported, not raised: it would end the process.

        Raises:
            NodeDrainedError: on a node that is about to be taken, so that Tune gives up the process, and not a stage
                to it. What the stage has done is in its checkpoint, and it goes on elsewhere.
        """
        if self._drained:
            raise NodeDrainedError
        try:
            progress = next(self._epochs)
        except StopIteration:
            self._mirror.end("done")
            return _report({"error": None}, done=True)
        except LostError as error:
            self._mirror.end("lost")
            return _report({"lost": str(error)}, done=True)
        except DamagedError as error:
            self._mirror.end("failed", type(error).__name__)
            return _report({"damaged": error.key, "error": f"{type(error).__name__}: {error}"}, done=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is in the stage's failure.json already
            self._mirror.end("failed", type(error).__name__)
            return _report({"error": f"{type(error).__name__}: {error}"}, done=True)
        self._mirror.epoch(progress["metrics"])
        if is_draining():
            self._epochs.close()
            self._mirror.end("lost")
            self._drained = True  # told now, raised at the next step: Tune does not pass on what was raised
            return _report({"going": NOTICE}, done=False)
        if self._mirror.stop_asked:  # in the dashboard
            self._epochs.close()
            self._mirror.end("stopped")
            return _report({"stopped": True}, done=True)
        return _report(progress, done=False)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a stage keeps its own checkpoints."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: a stage keeps its own checkpoints."""

    def cleanup(self) -> None:
        """Stop the attempt where it is: what it has done is kept in its checkpoint."""
        self._epochs.close()
        self._mirror.end("stopped")
        self._mirror.close(MIRROR_SECONDS)

    def _begin(self, config: dict[str, Any]) -> None:
        self._epochs = _epochs(TrialRequest.loads(config["order"]), self._mirror)


def _report(content: dict[str, Any], done: bool) -> dict[str, Any]:
    """As text: Tune flattens nested results on their way to a searcher."""
    return {REPORTED: json.dumps(content), "done": done}


def _reported(result: dict[str, Any] | None) -> dict[str, Any]:
    return dict(json.loads((result or {}).get(REPORTED, "{}")))


def _epochs(order: TrialRequest, mirror: Mirror) -> Generator[dict[str, Any]]:
    from trainables.stage.run import run_stage
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    # Not before the first step: Tune also sets up a process with a stage that it then gives to another one.
    mirror.begin(order.mirror, order.study, order.stage, order.runtime)
    study = Study(Storage(order.study))
    for progress in run_stage(order.stage, study, order.runtime, order.attempt, order.workers):
        yield asdict(progress)


class _Forgotten:
    """Tune pickles what it is given, so that an experiment can be restored. Ours is restored from the study folder."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _NextStage(_Forgotten, Searcher):
    """Tune's questions, answered by the driver."""

    def __init__(self, driver: Driver, room: SlotProvider) -> None:
        super().__init__(metric=None, mode=None)
        self._driver = driver
        self._room = room
        self._running: dict[str, str] = {}
        self._going: dict[str, str] = {}
        self.short_of_memory = False

    def suggest(self, trial_id: str) -> Any:
        """Return the next attempt; None while nothing is ready, ``FINISHED`` at the end."""
        order = self._driver.next(self._room.slots(), self._room.admits(), self._room.growth(), self._room.node())
        if order is None:
            return Searcher.FINISHED if self._driver.finished or self._driver.stopping else None
        self._running[trial_id] = str(order.stage.key)
        return {"order": order.dumps()}

    def ends(self, trial_id: str, reason: str) -> None:
        """Keep why the process of a trial is about to be lost."""
        self._going[trial_id] = reason

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on a sign of life, and keep what a process that is about to go said of it."""
        report = _reported(result)
        if "going" in report:
            self.ends(trial_id, report["going"])
        elif "epoch" in report:
            self._driver.progressed(self._running[trial_id], report)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on how an attempt ended: ``error`` tells of a lost process, all else the attempt reported itself."""
        key = self._running.pop(trial_id, None)
        if key is None:
            return
        report = _reported(result)
        if error or not report.keys() & {"error", "lost", "stopped"}:
            if self._driver.stopping:
                return
            if self.short_of_memory:
                self._driver.crowded(key)
            else:
                self._driver.lost(key, self._going.pop(trial_id, LOST))
        elif "lost" in report:
            self._driver.lost(key, report["lost"])
        elif "stopped" in report:
            self._driver.set_aside(key)
        elif "damaged" in report:
            self._driver.damaged(key, report["damaged"], report["error"])
        else:
            self._driver.ended(key, report["error"])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the state."""


class _Places(_Forgotten, tune.Callback):
    """Tune asks for trials ahead of their start; this tells when one has its place, and takes it from one that hangs."""

    def __init__(self, driver: Driver, room: SlotProvider, searcher: _NextStage) -> None:
        self._driver = driver
        self._room = room
        self._searcher = searcher
        self._at_work: dict[str, tuple[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        order = TrialRequest.loads(trial.config["order"])
        self._at_work[str(order.stage.key)] = trial.trial_id, trial.temporary_state.ray_actor
        self._driver.began(order)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for key in self._room.hung():
            trial_id, process = self._at_work[key]
            self._searcher.ends(trial_id, HUNG)
            ray.kill(process)  # Tune then hears that it was lost


class _WhenAsked(_Forgotten, tune.Stopper):
    def __init__(self, driver: Driver, room: SlotProvider) -> None:
        self._driver = driver
        self._room = room

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self._driver.stopping and (limit := self._room.over()):
            self._driver.stop(limit)
        return self._driver.stopping


class SlotProvider(Protocol):
    """How much may run, asked anew each time: a cluster grows and shrinks."""

    def slots(self) -> int:
        """Return how many workers there is room for."""

    def hung(self) -> list[str]:
        """Return the running stages that gave no sign of life for too long."""

    def growth(self) -> int:
        """Return for how many more workers there may be room, if stages wait for it."""

    def node(self) -> int:
        """Return how many workers there is room for on any node that has room for one."""

    def admits(self) -> Admits:
        """Return the rule by which stages are admitted now."""

    def over(self) -> str | None:
        """Say which limit is reached, so that all must stop now; or None."""


def _resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial holds. A stage of several workers is held by Ray Train: its trial only waits for it, on the head."""
    workers = TrialRequest.loads(config["order"]).workers
    if workers.count > 1:
        return tune.PlacementGroupFactory([{"node:__internal_head__": 0.001}])
    return tune.PlacementGroupFactory([dict(resources(workers))])


@contextmanager
def _memory_kills_are_losses(searcher: _NextStage) -> Iterator[None]:
    """Within, Tune takes a process that Ray killed for want of memory as lost: it knows no such error and would end the run.

    The searcher hears of the loss from within this call, without its reason: so that is told before.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import OutOfMemoryError, RayActorError

    failed = RayActorManager._actor_task_failed

    def or_lost(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        searcher.short_of_memory = isinstance(exception, OutOfMemoryError)
        try:
            failed(self, tracked_actor_task, RayActorError() if searcher.short_of_memory else exception)
        finally:
            searcher.short_of_memory = False

    RayActorManager._actor_task_failed = or_lost  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]


def run(driver: Driver, room: SlotProvider) -> None:
    """Run all stages to their end, as many at a time as there is room for."""
    # The driver bounds what it hands out: what there is room for, and one more. A bound of Tune's own, as low as one, would
    # start the trial processes of a cluster one after the other, each waiting for the imports of the last.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(PENDING)
    # A lost process is told by the driver, without a traceback.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    searcher = _NextStage(driver, room)
    with (
        _memory_kills_are_losses(searcher),
        tempfile.TemporaryDirectory(prefix="sweep-tune-", ignore_cleanup_errors=True) as scratch,
    ):
        tuner = tune.Tuner(
            tune.with_resources(StageTrial, _resources),
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="stages",
                storage_path=scratch,
                verbose=0,
                stop=_WhenAsked(driver, room),
                callbacks=[_Places(driver, room, searcher)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()
