"""Tests of what the study folder alone tells: status, heartbeat, and stages taken over from another study."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep import status
from sweep.grid.loader import load_grid
from sweep.monitor import running_file
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.monitor.running_file import Heartbeat
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan
from sweep.plan.reuse import take_over
from sweep.run import parser
from trainables.errors import UserError
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture
def plan(planned: Callable[..., Plan], grid_text: str) -> Plan:
    return planned(grid_text)


def make_study(folder: Path, plan: Plan) -> Study:
    study = Study(Storage(folder))
    study.storage.write_json("study.json", {"name": "tiny", "uid": "u" * 32, "target": "cells"})
    stages = [
        {n: getattr(s, n) for n in ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed")}
        | {"upstream": list(s.upstream)}
        for s in plan.stages
    ]
    study.storage.write_json(
        "plan.json", {"grid": "tiny.yaml", "study": "tiny", "target": "cells", "classes": ["a", "b"], "stages": stages}
    )
    return study


def commit(study: Study, stage: Stage, content: bytes = b"weights") -> None:
    folder = study.folder(stage)
    folder.begin(stage)
    digest = folder.files.write("weights.safetensors", content)
    folder.commit({"status": "done", "key": stage.key, "metrics": {}, "digests": {"weights.safetensors": digest}})


def heartbeat_of(study: Study) -> Heartbeat:
    now = time.monotonic()
    return Heartbeat(study, lambda: ProgressSnapshot("workers", 2, 1, now + 1800, 1.5, 4.0))


def shown(study: Study, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = status.main([study.storage.location, *options])
    return code, capsys.readouterr().out


def test_the_state_of_every_stage(tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path / "a study é", plan)
    pretrain, *cells = plan.stages
    random = [stage for stage in cells if stage.scenario == "Random"]
    commit(study, random[0])
    study.folder(random[1]).begin(random[1])
    study.folder(random[1]).fail("StageError", "the loss became nan", "", 2)
    beat = heartbeat_of(study)
    beat.started(random[2], 1)
    beat._last = 0.0
    beat.progressed(random[2], {"epoch": 1.5, "epochs": 3})
    code, out = shown(study, capsys, "--json")
    states = {stage["name"]: stage["state"] for stage in json.loads(out)["stages"]}
    assert code == 1
    assert [states[stage.name] for stage in random] == ["done", "failed", "running", "ready"]
    assert states[pretrain.name] == "ready"
    assert {states[stage.name] for stage in cells if stage.scenario == "Tissue"} == {"waiting"}
    code, out = shown(study, capsys)
    assert "1 of 2 workers busy, 30 min left, 1.50 of about 4.00 spent" in out
    assert f"{random[2].name}: epoch 1.5 of 3" in out
    assert "1 failed: StageError: the loss became nan" in out
    [command] = [line for line in out.splitlines() if "alone: " in line]
    study.storage.write("grid.yaml", plan.grid.resolved().encode())
    asked = parser().parse_args(shlex.split(command.partition("sweep.run ")[2]))
    assert Path(asked.storage, asked.study) == Path(study.storage.location)
    assert asked.cell == str(random[1].key)[:16]
    again = make_plan(load_grid(asked.grid), Inputs())
    assert [stage.name for stage in again.stages] == [stage.name for stage in plan.stages]


def test_what_a_failed_stage_blocks_is_said(tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path, plan)
    study.folder(plan.stages[0]).begin(plan.stages[0])
    study.folder(plan.stages[0]).fail("E", "x", "", 1)
    _, out = shown(study, capsys, "--json")
    assert [stage["state"] for stage in json.loads(out)["stages"]].count("blocked") == 4
    _, out = shown(study, capsys)
    [said] = [line for line in out.splitlines() if line.startswith("4 blocked by ")]
    assert f"blocked by {plan.stages[0].name}: " in said
    assert all(cell.name in said for cell in plan.cells if cell.scenario == "Tissue")


def test_a_driver_that_is_not_heard_of_runs_nothing(
    tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, plan)
    heartbeat_of(study).started(plan.stages[0], 1)
    assert running_file.read(study) is not None
    later = time.time() + 2 * running_file.STALE_SECONDS
    monkeypatch.setattr("sweep.monitor.running_file.time.time", lambda: later)
    assert running_file.read(study) is None
    code, out = shown(study, capsys)
    assert (code, "no driver is running it" in out) == (0, True)


def test_a_run_that_has_ended_runs_nothing(tmp_path: Path, plan: Plan) -> None:
    study = make_study(tmp_path, plan)
    beat = heartbeat_of(study)
    beat.started(plan.stages[0], 1)
    assert running_file.read(study) is not None
    beat.end()
    assert running_file.read(study) is None


@pytest.mark.parametrize("content", ["", "[]", '{"time": "x"}', "{torn"])
def test_a_spoilt_heartbeat_is_none(tmp_path: Path, plan: Plan, content: str) -> None:
    study = make_study(tmp_path, plan)
    (tmp_path / layout.RUNNING).write_text(content)
    assert running_file.read(study) is None


def test_no_study_is_said_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(tmp_path / "nothing")]) == 2
    assert "no study at" in capsys.readouterr().err


# Stages taken over


@pytest.fixture
def other(tmp_path: Path, plan: Plan) -> Study:
    study = make_study(tmp_path / "other", plan)
    for stage in plan.stages[:3]:
        commit(study, stage)
    return study


def test_finished_stages_of_another_study_are_taken_over_with_their_origin(
    tmp_path: Path, plan: Plan, other: Study
) -> None:
    study = make_study(tmp_path / "mine", plan)
    commit(study, plan.stages[0], b"my own")
    taken, faults = take_over(plan.stages, study, other)
    assert (taken, faults) == (list(plan.stages[1:3]), [])
    result: Any = study.folder(plan.stages[1]).result()
    assert result["origin"] == {"study": other.storage.location, "uid": "u" * 32}
    assert study.folder(plan.stages[1]).read_verified("weights.safetensors", result) == b"weights"
    assert study.folder(plan.stages[0]).files.read("weights.safetensors") == b"my own", "what is there stays"
    assert take_over(plan.stages, study, other) == ([], [])
    third = make_study(tmp_path / "third", plan)
    take_over(plan.stages, third, study)
    assert third.folder(plan.stages[1]).result() == result, "the first origin stays"


def test_what_is_damaged_is_not_taken_over_and_said(tmp_path: Path, plan: Plan, other: Study) -> None:
    study = make_study(tmp_path / "mine", plan)
    Path(other.folder(plan.stages[0]).path("weights.safetensors")).write_bytes(b"changed")
    specification = Path(other.folder(plan.stages[1]).path("stage.json"))
    specification.write_text(specification.read_text().replace('"seed": 0', '"seed": 1'))
    taken, faults = take_over(plan.stages, study, other)
    assert taken == [plan.stages[2]]
    assert len(faults) == 2
    assert "is not what the stage wrote" in faults[0]
    assert study.states() == {str(plan.stages[2].key)[:16]: "done"}


def test_a_study_is_not_taken_over_from_itself(plan: Plan, other: Study) -> None:
    with pytest.raises(UserError, match="names the study itself"):
        take_over(plan.stages, other, Study(Storage(other.storage.location)))
