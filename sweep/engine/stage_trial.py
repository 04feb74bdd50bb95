"""A Tune trial: one attempt at a stage, in an actor that Tune reuses for the next attempt."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

from ray import tune

from sweep.engine.trial_request import TrialRequest
from sweep.mirror.worker import Mirror
from trainables.errors import DamagedError, LostError
from trainables.stage.preemption import NOTICE, is_draining

REQUEST = "request"
"""Key of the request in a trial's configuration."""
REPORT = "sweep_report"
"""Key of a trial's report in Tune's results."""
MIRROR_SECONDS = 10.0
"""How long a process that ends waits for events that W&B has not got yet. ``sweep.wandb sync`` completes the rest."""


class NodePreemptedError(Exception):
    """The node will be taken away, and this process with it."""


class StageTrial(tune.Trainable):
    """One attempt at a stage. Between attempts the process stays, with torch and Ray imported."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first attempt."""
        self._mirror = Mirror()
        self._preempted = False
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next attempt; True tells Tune that the process can be reused."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run to the next heartbeat and return the report. Exceptions are reported: one that is raised ends the process.

        Raises:
            NodePreemptedError: on a node that will be taken away, so that Tune gives up the process and sends no stage to
                it. The stage has saved a checkpoint and is resumed elsewhere.
        """
        if self._preempted:
            raise NodePreemptedError
        try:
            progress = next(self._epochs)
        except StopIteration:
            return self._end("done", error=None)
        except LostError as error:
            return self._end("lost", lost=str(error))
        except DamagedError as error:
            return self._end("failed", error, corrupt_upstream=error.key, error=_described(error))
        except Exception as error:  # noqa: BLE001 - any; the stage has written it to its failure.json
            return self._end("failed", error, error=_described(error))
        self._mirror.epoch(progress["metrics"])
        if is_draining():
            self._epochs.close()
            self._mirror.end("lost")
            self._preempted = True  # reported now, raised at the next step: Tune drops the report of a step that raises
            return _as_result({"preempted": NOTICE}, done=False)
        if self._mirror.stop_requested:
            self._epochs.close()
            return self._end("stopped", cancelled=True)
        return _as_result(progress, done=False)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: a stage saves its own checkpoints."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Do nothing: a stage loads its own checkpoints."""

    def cleanup(self) -> None:
        """Stop the attempt where it is: it has saved a checkpoint."""
        self._epochs.close()
        self._mirror.end("stopped")
        self._mirror.close(MIRROR_SECONDS)

    def _begin(self, config: dict[str, Any]) -> None:
        self._epochs = _run(TrialRequest.loads(config[REQUEST]), self._mirror)

    def _end(self, state: str, failure: Exception | None = None, /, **report: Any) -> dict[str, Any]:
        self._mirror.end(state, type(failure).__name__ if failure else None)
        return _as_result(report, done=True)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _as_result(report: dict[str, Any], done: bool) -> dict[str, Any]:
    """As text, because Tune flattens nested results before a searcher gets them."""
    return {REPORT: json.dumps(report), "done": done}


def report_of(result: dict[str, Any] | None) -> dict[str, Any]:
    """Return the report in a Tune result; empty if there is none."""
    return dict(json.loads((result or {}).get(REPORT, "{}")))


def _run(request: TrialRequest, mirror: Mirror) -> Generator[dict[str, Any]]:
    from trainables.stage.run import run_stage
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    # Not before the first step: Tune also sets up a process with a stage that it then gives to another one.
    mirror.begin(request.mirror, request.study, request.stage, request.runtime)
    study = Study(Storage(request.study))
    for progress in run_stage(request.stage, study, request.runtime, request.attempt, request.workers):
        yield asdict(progress)
