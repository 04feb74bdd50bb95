"""Tests of stages that fail or are stopped: what is written, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.support.stage_bench import Bench, run
from trainables.errors import StageError
from trainables.specs import ModelSpec, Stage
from trainables.stage.run import run_stage


def test_a_loss_that_is_not_finite_fails_the_stage_with_a_trace(bench: Bench, tmp_path: Path) -> None:
    study, stage = bench.study(tmp_path), bench.stage(learning_rate=1e12)
    with pytest.raises(StageError, match="loss became"):
        list(run_stage(stage, study, bench.runtime, attempt=3))
    folder = study.folder(stage)
    failure = folder.failure()
    assert failure is not None
    assert failure["class"] == "StageError"
    assert failure["message"].startswith("the loss became")
    assert "1e+12" in failure["message"]
    assert "Traceback" in failure["traceback"]
    assert "in _train" in failure["traceback"]
    assert failure["attempts"] == 3
    assert folder.result() is None
    assert "failed: StageError: the loss became" in Path(folder.path("log.txt")).read_text()
    assert study.states() == {str(stage.key)[:16]: "failed"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda stage: {"data": stage.data.model_copy(update={"fingerprint": "0" * 64})},
            "fingerprint .*wants 0000000",
        ),
        (lambda stage: {"model": ModelSpec(model="timm/no_such_net")}, "cannot build timm/no_such_net"),
        (lambda stage: {"split": "0" * 64}, "splits/0000000"),
    ],
    ids=["other data", "unknown network", "missing split"],
)
def test_an_input_that_is_not_there_fails_the_stage_by_name(
    bench: Bench, tmp_path: Path, change: Callable[[Stage], dict[str, Any]], message: str
) -> None:
    study, stage = bench.study(tmp_path), bench.stage(**change(bench.stage()))
    with pytest.raises(Exception, match=message):
        run(stage, study, bench.runtime)
    failure = study.folder(stage).failure()
    assert failure is not None
    assert "Traceback" in failure["traceback"]
    assert study.folder(stage).stage()["key"] == stage.key


def test_a_stage_that_is_stopped_leaves_its_log_and_no_failure(bench: Bench, tmp_path: Path) -> None:
    study, stage = bench.study(tmp_path), bench.stage()
    running = run_stage(stage, study, bench.runtime)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert study.folder(stage).result() is study.folder(stage).failure() is None
    assert "epoch 0" in Path(study.folder(stage).path("log.txt")).read_text()
    assert study.states() == {}
