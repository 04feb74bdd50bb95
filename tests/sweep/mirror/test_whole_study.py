"""Whole studies by the real commands, with the real client: offline and read back, synced, attached, online."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from sweep import wandb
from sweep.compat.wandb import CLIENT_PROCESS, log_items, log_records
from sweep.mirror.offline.log_folder import logs_of
from tests.sweep.mirror.wandb_server import KEY, Fault, WandbServer
from tests.sweep.support.processes import TRIAL, family

ROOT = Path(__file__).parents[3]
DATA = ("blood_cells", "tissue_patches", "scenes")
FEW = tuple(f"data.{name}.images_per_class=12" for name in DATA)
ONE = f"recipe.threads={min(2, len(os.sched_getaffinity(0)))}"
"""One trial process on a machine of two CPUs: each takes seconds to import torch."""
SMALL = ("architecture=[tiny_resnet]", "fold=[0]", "pretrain.epochs=2", "finetune.epochs=3", *FEW)
STAGES = 8
SWEEP = "swp12345"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Nothing of the user's own W&B."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = {f"WANDB_{name}": str(folder / "home" / name) for name in ("CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
    return {**kept, **home, "NETRC": str(folder / "none"), "PYTHONPATH": str(ROOT), **more}


def online(folder: Path, server: WandbServer) -> dict[str, str]:
    return environment(folder, WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)


def smoke(*arguments: str) -> list[str]:
    changes = [text for setting in SMALL for text in ("--set", setting)]
    return [sys.executable, "-m", "sweep.run", "--grid", "smoke", *changes, *arguments]


@pytest.fixture
def here(server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The same in this process, which takes no time to start."""

    def command(folder: Path, what: str) -> str:
        monkeypatch.chdir(folder)
        status = wandb.main([what, "studies/smoke"])
        said = "".join(capsys.readouterr())
        assert status == 0, said
        assert KEY not in said
        return said

    return command


def command(folder: Path, server: WandbServer, what: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sweep.wandb", what, "studies/smoke"]
    done = subprocess.run(line, cwd=folder, env=online(folder, server), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small smoke has run offline, in a sweep that was made before."""
    folder = tmp_path_factory.mktemp("offline é")
    (folder / "studies/smoke").mkdir(parents=True)
    link = {"project": "p", "entity": "team", "sweep": SWEEP}
    (folder / "studies/smoke/wandb.json").write_text(json.dumps(link))
    line = smoke("--wandb", "offline", "--set", ONE)
    done = subprocess.run(line, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "W&B: offline" in done.stdout
    assert_no_client_is_left(folder)
    return folder


def assert_no_client_is_left(folder: Path) -> None:
    """The client's processes look after the process that started them once in a while, and end when it is gone."""
    deadline = time.monotonic() + 30
    while left := [process for process in psutil.process_iter() if is_client(process, folder)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def is_client(process: psutil.Process, folder: Path) -> bool:
    """Whether a process is a client's that was started from a study in the folder."""
    try:
        return process.name() == CLIENT_PROCESS and process.environ().get("NETRC") == str(folder / "none")
    except psutil.Error:
        return False


def stage_folders(folder: Path) -> list[Path]:
    return sorted((folder / "studies/smoke/stages").iterdir())


def read_back(log: Path) -> dict[str, Any]:
    """All that a log says, record by record."""
    read: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "exit": None, "files": []}
    for record in log_records(log):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            read["run"] = record.run
            read["config"] |= log_items(record.run.config.update)
        elif kind == "config":
            read["config"] |= log_items(record.config.update)
        elif kind == "history":
            read["history"].append(log_items(record.history.item))
        elif kind == "summary":
            read["summary"] |= log_items(record.summary.update)
        elif kind == "exit":
            read["exit"] = record.exit.exit_code
        elif kind == "files":
            read["files"] += [file.path for file in record.files.files]
    return read


def test_every_stage_and_every_epoch_is_in_the_offline_logs_once(offline: Path) -> None:
    logs = logs_of(offline / "studies/smoke")
    folders = {json.loads((folder / "wandb.json").read_text())["run"]: folder for folder in stage_folders(offline)}
    assert len(folders) == STAGES
    assert sorted(log.stem for log in logs) == sorted(f"run-{run}" for run in folders)
    for log in logs:
        read = read_back(log)
        folder = folders[read["run"].run_id]
        stage, result = (json.loads((folder / name).read_text()) for name in ("stage.json", "result.json"))
        assert read["run"].sweep_id == SWEEP
        assert (read["run"].project, read["run"].entity) == ("p", "team")
        assert read["run"].run_group == f"{stage['architecture']}/{stage['scenario']}"
        assert read["run"].job_type == stage["kind"]
        fold = [] if stage["fold"] is None else [f"fold{stage['fold']}"]
        assert list(read["run"].tags) == [*fold, f"lr{stage['learning_rate']:g}"]
        axes = ("architecture", "scenario", "fold", "learning_rate", "seed")
        assert {axis: read["config"][axis] for axis in axes} == {axis: stage[axis] for axis in axes}
        assert read["config"]["stage_folder"] == str(folder)
        assert_curves(read["history"], pq.read_table(folder / "history.parquet").to_pylist())
        assert result["metrics"].items() <= read["summary"].items()
        assert read["summary"]["selected_epoch"] == result["selected_epoch"]
        assert ("selection_score" in read["summary"]) == (stage["kind"] == "finetune")
        assert len(read["files"]) == (stage["kind"] == "finetune"), "one picture a cell"
        assert read["exit"] == 0


def assert_curves(rows: list[dict[str, Any]], history: list[dict[str, Any]]) -> None:
    rows = [row for row in rows if "epoch" in row]
    assert [row["epoch"] for row in rows] == sorted({line["epoch"] for line in history})
    for line in history:
        row = rows[line["epoch"]]
        for name in ("loss", "accuracy", "f1_macro"):
            assert row[f"{line['split']}_{name}"] == pytest.approx(line[name])
        assert row["learning_rate"] == pytest.approx(line["learning_rate"])


def test_our_reader_reads_what_the_client_s_own_reads(offline: Path) -> None:
    log = logs_of(offline / "studies/smoke")[-1]
    line = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log.parent)]
    said = subprocess.run(line, env=environment(offline), capture_output=True, text=True, timeout=60).stdout
    theirs = [json.loads(text) for text in said.splitlines() if text.startswith("{")]
    ours = list(log_records(log))
    assert len(theirs) > 10
    assert [record["type"] for record in theirs] == [record.WhichOneof("record_type") for record in ours]
    rows = [record["history"]["item"] for record in theirs if record["type"] == "history"]
    assert rows == read_back(log)["history"]


def test_an_offline_study_is_synced_attached_and_shown(
    offline: Path, tmp_path: Path, server: WandbServer, here: Callable[[Path, str], str]
) -> None:
    folder = Path(shutil.copytree(offline, tmp_path / "copy"))
    (folder / "studies/smoke/wandb.json").unlink()
    said = command(folder, server, "sync").stdout
    assert f"{STAGES} offline logs uploaded, 0 finished stages uploaded" in said
    assert len(server.runs) == STAGES
    for run, known in server.runs.items():
        assert known["state"] == "finished"
        epochs = [row["epoch"] for row in server.history(run) if "epoch" in row]
        assert epochs == list(range(server.config(run)["epochs"]))
    assert "0 offline logs uploaded, 0 finished" in here(folder, "sync")
    links = [json.loads((stage / "wandb.json").read_text()) for stage in stage_folders(folder)]
    assert {link["url"] for link in links} == {f"{server.url}/team/scenario-sweep/runs/{run}" for run in server.runs}
    assert f"{STAGES} runs attached" in here(folder, "attach")
    [sweep] = server.sweeps.values()
    assert {run for run in server.runs if run in sweep["prior"]} == set(server.runs)
    parameters = sweep["config"]["parameters"]
    assert parameters["learning_rate"] == {"values": [0.001, 0.004]}
    assert set(parameters) == {"architecture", "scenario", "fold", "learning_rate", "seed"}
    assert sweep["config"]["metric"] == {"name": "selection_score", "goal": "maximize"}
    assert "0 runs attached" in here(folder, "attach")
    for what in ("view", "report", "view", "report"):  # the second time it is the same view, and the same report
        assert f"{what}: {server.url}/team/scenario-sweep" in here(folder, what)
    view, report = sorted(server.views.values(), key=lambda known: known["type"])
    assert "Cells" in [section["name"] for section in view["spec"]["section"]["panelBankConfig"]["sections"]]
    text = json.dumps(report["spec"], ensure_ascii=False)
    assert "mean and standard deviation" in text
    assert "Tissue" in text
    for panel in ("Parallel Coordinates Plot", "Parameter Importance", "Run History Line Plot"):
        assert panel in text
        assert panel in json.dumps(view["spec"])


def test_a_study_online_with_faults_and_a_killed_trial(
    tmp_path: Path, server: WandbServer, here: Callable[[Path, str], str]
) -> None:
    server.faults += [
        Fault("file_stream", 429, 3, headers={"Retry-After": "1"}),
        Fault("UpsertBucket", 500, 2),
        Fault("RunResumeStatus", seconds=0.3, times=4),
    ]
    log = (tmp_path / "driver.log").open("w")
    line = smoke("--wandb", "auto", "--wandb-project", "q")
    driver = subprocess.Popen(line, cwd=tmp_path, env=online(tmp_path, server), stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 250
    killed = False
    while driver.poll() is None:
        assert time.monotonic() < deadline, (tmp_path / "driver.log").read_text()
        if not killed and len(server.runs) > 2 and (trials := family(driver.pid, *TRIAL)):
            trials[0].kill()
            killed = True
        time.sleep(0.1)
    said = (tmp_path / "driver.log").read_text()
    assert killed
    assert driver.returncode == 0, said
    assert KEY not in said
    assert f"W&B: {server.url}/team/q/sweeps/swp00000" in said
    assert_no_client_is_left(tmp_path)
    here(tmp_path, "sync")  # what the killed process did not get to
    assert len(server.runs) == STAGES
    for run, known in server.runs.items():
        assert known["sweep"] == "swp00000"
        assert (known["state"], server.summary(run)["state"]) == ("finished", "done")
        epochs = [row["epoch"] for row in server.history(run) if "epoch" in row]
        assert sorted(epochs) == list(range(server.config(run)["epochs"])), epochs
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if KEY.encode() in file.read_bytes()]
