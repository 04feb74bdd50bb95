"""The stages of a study in one Ray Tune experiment: Tune's searcher asks the driver what comes next.

Tune gives us reused trial processes, placement on a cluster and the news of lost nodes. Order, retries
and results are ours, so a trial that fails is a trial that ended; Tune never repeats one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from sweep.driver import Driver, Order
from sweep.mirror.worker import Mirror
from sweep.ray_session import Capacity
from trainables.errors import LostError, UserError

REPORTED = "sweep_report"
"""Name under which a trial's report travels in Tune's results."""
MIRROR_SECONDS = 10.0
"""A process that ends waits at most so long for what W&B is still to be told. ``sweep.wandb sync`` tells the rest."""


class StageTrial(tune.Trainable):
    """One attempt at a stage in a trial process that the next attempt reuses."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first attempt."""
        self._mirror = Mirror()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next attempt in the same process: torch and Ray are warm."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the end of the next epoch. An error is reported, not raised: it would end the process."""
        try:
            progress = next(self._epochs)
        except StopIteration:
            self._mirror.end("done")
            return _report({"error": None}, done=True)
        except LostError:
            self._mirror.end("lost")
            return _report({"lost": True}, done=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is in the stage's failure.json already
            self._mirror.end("failed", type(error).__name__)
            return _report({"error": f"{type(error).__name__}: {error}"}, done=True)
        self._mirror.epoch(progress["shown"])
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
        order = Order.loads(config["order"])
        self._epochs = _epochs(order)
        self._mirror.begin(order.mirror, order.study, order.stage, order.site)


def _report(content: dict[str, Any], done: bool) -> dict[str, Any]:
    """As text: Tune flattens nested results on their way to a searcher."""
    return {REPORTED: json.dumps(content), "done": done}


def _reported(result: dict[str, Any] | None) -> dict[str, Any]:
    return dict(json.loads((result or {}).get(REPORTED, "{}")))


def _epochs(order: Order) -> Generator[dict[str, Any]]:
    from trainables.stage import run_stage
    from trainables.storage import Storage
    from trainables.study import Study

    for progress in run_stage(order.stage, Study(Storage(order.study)), order.site, order.attempt):
        yield asdict(progress)


class _Forgotten:
    """Tune pickles what it is given, so that an experiment can be restored. Ours is restored from the study folder."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _NextStage(_Forgotten, Searcher):
    """Tune's questions, answered by the driver."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(metric=None, mode=None)
        self._driver = driver
        self._running: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        order = self._driver.next()
        if order is None:
            return Searcher.FINISHED if self._driver.finished or self._driver.stopping else None
        self._running[trial_id] = str(order.stage.key)
        return {"order": order.dumps()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        report = _reported(result)
        if "epoch" in report:
            self._driver.progressed(self._running[trial_id], report)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        key = self._running.pop(trial_id, None)
        if key is None:
            return
        report = _reported(result)
        if not error and "error" in report:
            self._driver.ended(key, report["error"])
        elif not self._driver.stopping:
            self._driver.lost(key)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study folder is the state."""


class _Started(_Forgotten, tune.Callback):
    """Tune asks for trials ahead of their start; this tells when one has its place."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._driver.began(Order.loads(trial.config["order"]))


class _WhenAsked(_Forgotten, tune.Stopper):
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._driver.stopping


def slots(capacity: Capacity, threads: int) -> int:
    """Return how many stages run at a time: one a GPU, or one for so many CPU threads."""
    return capacity.gpus or sum(cpus // threads for cpus, _ in capacity.nodes)


def _shape(capacity: Capacity, threads: int) -> dict[str, float]:
    """What one trial asks for: its CPU threads; or a GPU and its share of the node's CPUs."""
    shares = [cpus // gpus for cpus, gpus in capacity.nodes if gpus]
    return {"GPU": 1.0, "CPU": float(max(1, min(threads, *shares)))} if shares else {"CPU": float(threads)}


def run(driver: Driver, capacity: Capacity, threads: int) -> None:
    """Run all stages to their end, as many at a time as the cluster has room for.

    Raises:
        UserError: if the cluster has no room for a single stage.
    """
    if slots(capacity, threads) < 1:
        most = max((cpus for cpus, _ in capacity.nodes), default=0)
        raise UserError(f"a stage needs {threads} CPUs on one node (recipe.threads), the largest node has {most}")
    # One trial waits for the next free place: more would be fixed in an order that newly ready stages may overturn.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1"
    with tempfile.TemporaryDirectory(prefix="sweep-tune-", ignore_cleanup_errors=True) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(StageTrial, _shape(capacity, threads)),
            tune_config=tune.TuneConfig(search_alg=_NextStage(driver), num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="stages",
                storage_path=scratch,
                verbose=0,
                stop=_WhenAsked(driver),
                callbacks=[_Started(driver)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()
