"""A stop in the dashboard, all the way: from the server through the client, the trial process and Ray Tune to the driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from wandb.sdk.lib.run_stopping import RunStopChecker

from sweep.engine import tune_backend
from sweep.engine.callbacks import CANCELLED
from sweep.engine.driver import Driver
from sweep.engine.ray_session import ray_session
from sweep.engine.stage_trial import StageTrial
from sweep.engine.trial_request import TrialOptions
from sweep.mirror.run_link import run_id
from sweep.mirror.settings import MirrorSettings
from sweep.plan.inputs import gather
from sweep.plan.plan import make_plan
from sweep.schedule.scheduler import Scheduler, Task
from tests.sweep.mirror.wandb_server import WandbServer
from tests.sweep.support.tiny_grid import tiny_grid
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study
from trainables.training.checkpoint import FILE as CHECKPOINT

PATIENCE = 90.0
"""Seconds: a busy machine takes its time to import the client."""
EPOCHS = 300
"""As many as last for half a minute, if nobody stops them."""


class OneSlot:
    """A cluster of one slot that does not grow."""

    def slots(self) -> int:
        return 1

    def headroom(self) -> int:
        return 0

    def slots_per_node(self) -> int:
        return 1


class Notes:
    """Notes what becomes of stages."""

    def __init__(self) -> None:
        self.failed_with: list[tuple[str, bool]] = []

    def started(self, stage: Stage, attempt: int) -> None:
        pass

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        pass

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        pytest.fail("it went on to its end")

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        self.failed_with.append((error, again))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_stop_in_the_dashboard_cancels_the_stage(
    load: Callable[..., Any],
    tmp_path: Path,
    server: WandbServer,
    settings: MirrorSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Prompt(StageTrial):
        """Asks the client often whether it heard of a stop, not every 15 seconds. Its epochs take a while, as real ones do."""

        def setup(self, config: dict[str, Any]) -> None:
            RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.2  # type: ignore[index]
            super().setup(config)

        def step(self) -> dict[str, Any]:
            time.sleep(0.1)
            return super().step()

    monkeypatch.setattr(tune_backend, "StageTrial", Prompt)
    grid = load(tiny_grid(images=6, pretrain_epochs=1, finetune_epochs=EPOCHS), "scenario=[Random]")
    inputs = gather(grid, tmp_path, None, tmp_path / "cache", lambda *_: None)
    stage = make_plan(grid, inputs).stages[0]
    study = Study(Storage(tmp_path / "study"))
    for split in inputs.splits.values():
        study.write_split(split.digest, split.table)
    runtime = RuntimeContext({name: str(data.folder.absolute()) for name, data in inputs.data.items()}, {})
    run, key, notes = run_id(settings, str(stage.key), 0), str(stage.key), Notes()

    def press() -> None:
        until = time.monotonic() + PATIENCE
        while run not in server.runs:  # the first epoch is told at once, and answered so; the next 15 seconds later
            if time.monotonic() > until:
                return
            time.sleep(0.02)
        server.runs[run]["stop"] = True

    person = threading.Thread(target=press)
    person.start()
    schedule = Scheduler([Task(key, stage.upstream, 1.0)])
    with ray_session(None):
        driver = Driver(schedule, [stage], study, runtime, notes, TrialOptions(mirror=settings.document()))
        tune_backend.run(driver, OneSlot())
    person.join()
    assert driver.states == {key: "stopped"}
    assert notes.failed_with == [(CANCELLED, False)], "no failure, and not tried again by this run"
    folder = study.folder(stage)
    assert folder.failure() is None
    assert Path(folder.path(CHECKPOINT)).exists(), "another run goes on from there"
    assert server.summary(run)["state"] == "stopped"
    told = [row["epoch"] for row in server.history(run) if "epoch" in row]
    assert told == list(range(len(told)))
    assert len(told) < EPOCHS
