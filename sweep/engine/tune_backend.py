"""Run the stages of a study in one Ray Tune experiment: Tune's searcher asks the driver for the next request.

Tune provides reused trial processes, placement on a cluster, and notice of lost nodes. Order, retries and results are the
driver's, so a trial whose stage failed is a trial that ended; Tune never repeats one.
"""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.search import Searcher

from sweep.compat import ray as compat
from sweep.engine.capacity import resources
from sweep.engine.driver import HUNG, WORKER_LOST, Driver
from sweep.engine.stage_trial import REQUEST, StageTrial, report_of
from sweep.engine.trial_request import TrialRequest
from sweep.schedule.budget import Admits, anything

PENDING = 1_000_000
"""Bound on the trials that Tune may have requested and not started yet: none. The driver bounds what it dispatches."""


class SlotProvider(Protocol):
    """How much may run, asked again each time: see ``ClusterCapacity``."""

    def slots(self) -> int:
        """Return the number of slots of the cluster."""

    def slots_per_node(self) -> int:
        """Return the slots of the smallest node that has any."""

    def headroom(self) -> int:
        """Return how many slots an autoscaler may add."""


class LimitChecker(Protocol):
    """The limits of the run, asked again each time: see ``BudgetTracker``."""

    def admits(self) -> Admits:
        """Return the rule by which stages are admitted now."""

    def hung(self) -> list[str]:
        """Return the running stages that have sent no heartbeat for too long."""

    def exceeded(self) -> str | None:
        """Return which limit is reached, so that the run must stop now, or None."""


class Unlimited:
    """A run without limits."""

    def admits(self) -> Admits:
        """Admit every stage."""
        return anything

    def hung(self) -> list[str]:
        """Return nothing: no stage is ever killed."""
        return []

    def exceeded(self) -> str | None:
        """Return None: no limit is ever reached."""
        return None


UNLIMITED = Unlimited()


class _NotPickled:
    """Tune pickles its components to restore an experiment. Ours is restored from the study folder."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _StageSearcher(_NotPickled, Searcher):
    """Answers Tune's requests for a trial, and passes what trials report to the driver."""

    def __init__(self, driver: Driver, cluster: SlotProvider, limits: LimitChecker) -> None:
        super().__init__(metric=None, mode=None)
        self._driver, self._cluster, self._limits = driver, cluster, limits
        self._keys: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._out_of_memory = False

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial; None while no stage is ready, ``FINISHED`` at the end."""
        cluster = self._cluster
        request = self._driver.next_request(
            cluster.slots(), self._limits.admits(), cluster.headroom(), cluster.slots_per_node()
        )
        if request is None:
            return Searcher.FINISHED if self._driver.finished or self._driver.stopping else None
        self._keys[trial_id] = str(request.stage.key)
        return {REQUEST: request.dumps()}

    def expect_loss(self, trial_id: str, reason: str) -> None:
        """Remember why the process of a trial is about to be lost.

        Args:
            trial_id: of Tune.
            reason: for people.
        """
        self._reasons[trial_id] = reason

    def report_out_of_memory(self, out_of_memory: bool) -> None:
        """Remember whether the process that Tune is about to report as lost was killed for want of memory."""
        self._out_of_memory = out_of_memory

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass a heartbeat to the driver, or remember that the process will be preempted.

        Args:
            trial_id: of Tune.
            result: has the trial's report.
        """
        report = report_of(result)
        if "preempted" in report:
            self.expect_loss(trial_id, report["preempted"])
        elif "epoch" in report:
            self._driver.on_progress(self._keys[trial_id], report)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass the end of an attempt to the driver.

        Args:
            trial_id: of Tune.
            result: has the trial's last report, in which it says how the attempt ended.
            error: whether the process was lost.
        """
        key = self._keys.pop(trial_id, None)
        if key is None:
            return
        report = report_of(result)
        if error or not report.keys() & {"error", "lost", "cancelled"}:
            if self._driver.stopping:
                return
            if self._out_of_memory:
                self._driver.on_oom(key)
            else:
                self._driver.on_worker_lost(key, self._reasons.pop(trial_id, WORKER_LOST))
        elif "lost" in report:
            self._driver.on_worker_lost(key, report["lost"])
        elif "cancelled" in report:
            self._driver.on_cancelled(key)
        elif "corrupt_upstream" in report:
            self._driver.on_corrupt_upstream(key, report["corrupt_upstream"], report["error"])
        else:
            self._driver.on_ended(key, report["error"])

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study folder is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study folder is the state."""


class _TrialWatcher(_NotPickled, tune.Callback):
    """Tells the driver when a trial really starts, and kills the process of one that hangs."""

    def __init__(self, driver: Driver, limits: LimitChecker, searcher: _StageSearcher) -> None:
        self._driver, self._limits, self._searcher = driver, limits, searcher
        self._trials: dict[str, tuple[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        request = TrialRequest.loads(trial.config[REQUEST])
        self._trials[str(request.stage.key)] = trial.trial_id, compat.trial_actor(trial)
        self._driver.on_started(request)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for key in self._limits.hung():
            trial_id, actor = self._trials[key]
            self._searcher.expect_loss(trial_id, HUNG)
            ray.kill(actor)  # Tune then reports it as lost


class _LimitStopper(_NotPickled, tune.Stopper):
    def __init__(self, driver: Driver, limits: LimitChecker) -> None:
        self._driver, self._limits = driver, limits

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self._driver.stopping and (limit := self._limits.exceeded()):
            self._driver.stop(limit)
        return self._driver.stopping


def _placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial reserves. Ray Train reserves for several workers; the trial only waits for them, on the head node."""
    workers = TrialRequest.loads(config[REQUEST]).workers
    if workers.count > 1:
        return tune.PlacementGroupFactory([{compat.HEAD_RESOURCE: 0.001}])
    return tune.PlacementGroupFactory([dict(resources(workers))])


def run(driver: Driver, cluster: SlotProvider, limits: LimitChecker = UNLIMITED) -> None:
    """Run all stages to their end.

    Args:
        driver: decides what runs, and records what becomes of it.
        cluster: the slots of the Ray cluster that was joined.
        limits: of the run.
    """
    # With Tune's own bound of 1 the processes of a cluster would start one after the other, each waiting for the imports of
    # the one before.
    os.environ[compat.MAX_PENDING_TRIALS] = str(PENDING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the driver reports a lost process, without a traceback
    searcher = _StageSearcher(driver, cluster, limits)
    with (
        compat.out_of_memory_as_lost(searcher.report_out_of_memory),
        tempfile.TemporaryDirectory(prefix="sweep-tune-", ignore_cleanup_errors=True) as scratch,
    ):
        tuner = tune.Tuner(
            tune.with_resources(StageTrial, _placement),
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="stages",
                storage_path=scratch,
                verbose=0,
                stop=_LimitStopper(driver, limits),
                callbacks=[_TrialWatcher(driver, limits, searcher)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()
