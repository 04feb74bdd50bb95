"""Whole studies by the real command, on a real local Ray: run, run again, kill, interrupt, fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

from tests.sweep.support.processes import TRIAL, family
from tests.sweep.support.tiny_grid import tiny_grid

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

GRID = tiny_grid(images=12, pretrain_epochs=2, finetune_epochs=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spaced and accented name in which the study has run to its end."""
    folder = tmp_path_factory.mktemp("a study é")
    (folder / "tiny.yaml").write_text(GRID)
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the grid and nothing else."""
    (tmp_path / "tiny.yaml").write_text(GRID)
    return tmp_path


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No test may leave a process."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    deadline = time.monotonic() + 20
    while left := [p for p in psutil.Process().children(recursive=True) if p.pid not in before and p.is_running()]:
        assert time.monotonic() < deadline, [p.cmdline() for p in left]
        time.sleep(0.2)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sweep.run", "--grid", "tiny.yaml", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=200
    )


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run whose processes can be found again, even when it is killed."""
    log = (folder / "driver.log").open("w")
    return subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT, text=True
    )


def results(folder: Path) -> dict[str, bytes]:
    """The committed results: a stage that ran again would have another process, time and number of seconds."""
    return {file.parent.name: file.read_bytes() for file in (folder / "studies/tiny/stages").glob("*/result.json")}


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_the_next_plan_knows_how_quick_this_machine_was(finished: Path) -> None:
    [(name, rate)] = json.loads((finished / "studies/.cache/speeds.json").read_text()).items()
    assert name.startswith("timm/test_resnet 32 px ")
    assert rate > 0


def test_a_study_leaves_what_the_contract_says(finished: Path) -> None:
    study = finished / "studies/tiny"
    plan = json.loads((study / "plan.json").read_text())
    assert len(plan["stages"]) == 9
    assert len(results(finished)) == 9
    for file in ("study.json", "grid.yaml", "selection.parquet", "data_problems.parquet", "report/index.html"):
        assert (study / file).is_file()
    for name in ("scores", "per_class"):
        assert {f.suffix for f in (study / "report/tables").glob(f"{name}.*")} == {".csv", ".md", ".tex"}
    assert not list(study.rglob("*.partial"))
    pids = {json.loads(text)["environment"]["process"] for text in results(finished).values()}
    assert len(pids) <= len(os.sched_getaffinity(0)), "trial processes are reused"


def test_scores_agree_with_scikit_learn(finished: Path) -> None:
    study = finished / "studies/tiny"
    selection = pq.read_table(study / "selection.parquet").to_pylist()
    rows = [line.split(",") for line in (study / "report/tables/scores.csv").read_text().splitlines()]
    header, rows = rows[0], rows[1:]
    assert len(rows) == 2
    for row in (dict(zip(header, values, strict=True)) for values in rows):
        runs = []
        for choice in selection:
            if choice["scenario"] == row["scenario"]:
                best = max(zip(choice["val_f1_macro"], [-r for r in choice["learning_rates"]], strict=True))
                assert choice["learning_rate"] == -best[1]
                runs.append(class_scores(study, choice["chosen"]))
        values = np.array(runs)  # runs × measures × classes
        means, stds = values.mean(axis=0).mean(axis=1), values.std(axis=0, ddof=1).mean(axis=1)
        for i, measure in enumerate(("precision", "recall", "f1", "mcc")):
            assert float(row[f"{measure}_mean"]) == pytest.approx(means[i], abs=1e-6)
            assert float(row[f"{measure}_std"]) == pytest.approx(stds[i], abs=1e-6)


def class_scores(study: Path, key: str) -> np.ndarray:
    [folder] = (study / "stages").glob(f"*-{key[:16]}")
    table = pq.read_table(folder / "predictions.parquet").to_pylist()
    test = [row for row in table if row["split"] == "test"]
    labels, predicted = [row["label"] for row in test], [int(np.argmax(row["logits"])) for row in test]
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=range(6), zero_division=0)
    mcc = [matthews_corrcoef([x == c for x in labels], [x == c for x in predicted]) for c in range(6)]
    return np.array([precision, recall, f1, mcc])


def test_a_second_call_runs_nothing_and_says_so(again: Path) -> None:
    before = results(again)
    done = run(again)
    assert done.returncode == 0
    assert "nothing to do: all 9 stages are done" in done.stdout
    assert results(again) == before


def test_an_edited_grid_runs_only_what_is_new(again: Path) -> None:
    before = results(again)
    done = run(again, "--set", "learning_rate=[0.05, 0.1]", "--set", "scenario=[Random]")
    assert done.returncode == 0, done.stderr
    after = results(again)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2
    assert "belong to an earlier grid and are left alone" in done.stdout


def test_a_renamed_scenario_keeps_what_is_done(again: Path) -> None:
    before = results(again)
    (again / "tiny.yaml").write_text(GRID.replace("Random:", "From nothing:"))
    done = run(again)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert "From nothing" in done.stdout
    assert results(again) == before


def test_a_damaged_result_is_named_and_done_again(again: Path) -> None:
    cell = next(name for name in results(again) if name.startswith("finetune-tiny-Random"))
    folder = again / "studies/tiny/stages" / cell
    content = bytearray((folder / "predictions.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "predictions.parquet").write_bytes(content)
    before = results(again)
    mended = run(again)
    assert mended.returncode == 0, mended.stdout
    assert f"does not count: {cell.removeprefix('finetune-').rpartition('-')[0]}: " in mended.stdout
    assert "1 results cannot be relied on and are done again" in mended.stdout
    after = results(again)
    assert {name for name in after if after[name] != before[name]} == {cell}
    assert json.loads((folder / "retired.json").read_text())["reason"].startswith(str(folder))
    other = next(name for name in results(again) if name.startswith("finetune-tiny-Tissue"))
    (again / "studies/tiny/stages" / other / "result.json").write_text("{torn")
    mended = run(again)
    assert mended.returncode == 0, mended.stdout
    assert all(json.loads(result)["status"] == "done" for result in results(again).values())
    assert len(results(again)) == 9


def test_kill_9_of_the_driver_repeats_no_finished_stage(folder: Path) -> None:
    driver = start(folder)
    family = psutil.Process(driver.pid)
    wait_until(lambda: len(results(folder)) >= 2, driver)
    children = family.children(recursive=True)
    driver.kill()
    driver.wait()
    before = results(folder)
    assert 2 <= len(before) < 9
    _, alive = psutil.wait_procs([c for c in children if not c.name().endswith("Agent")], timeout=30)
    assert not alive, "Ray's processes end with their driver"
    before = results(folder)  # a trial may have committed while it was ending
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    after = results(folder)
    assert len(after) == 9
    assert before.items() <= after.items()
    _, alive = psutil.wait_procs(children, timeout=90)
    assert not alive, "Ray's agents give up on their cluster after about a minute"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_clean_and_says_how_to_go_on(folder: Path, number: int, status: int) -> None:
    driver = start(folder)
    wait_until(lambda: results(folder), driver)
    driver.send_signal(number)
    assert driver.wait(timeout=60) == status
    said = (folder / "driver.log").read_text()
    assert "python -m sweep.run --grid tiny.yaml" in said
    assert "Traceback" not in said


def test_a_killed_trial_process_is_tried_again(folder: Path) -> None:
    driver = start(folder)
    wait_until(lambda: results(folder), driver)
    log = folder / "driver.log"
    while "attempt 2" not in log.read_text():  # one that was between two stages leaves nothing to try again
        wait_until(lambda: family(driver.pid, *TRIAL), driver)
        for process in family(driver.pid, *TRIAL):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        done = len(results(folder))
        wait_until(lambda done=done: "attempt 2" in log.read_text() or len(results(folder)) > done, driver)  # type: ignore[misc]
    assert driver.wait(timeout=150) == 0, (folder / "driver.log").read_text()
    assert len(results(folder)) == 9


@pytest.mark.timeout(400)
def test_a_stage_that_hangs_is_ended_and_tried_again(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(tiny_grid(images=12, pretrain_epochs=2, finetune_epochs=60))
    driver = start(folder, "--hang-timeout", "15s")
    log, told = folder / "driver.log", "it sent no heartbeat for too long, so its process was killed"
    wait_until(lambda: results(folder), driver)
    while told not in log.read_text():
        wait_until(lambda: family(driver.pid, "Trainable.train"), driver)
        hanging = family(driver.pid, "Trainable.train")
        for process in hanging:
            process.suspend()
        until = time.monotonic() + 25
        while told not in log.read_text() and time.monotonic() < until:
            time.sleep(0.2)
        for process in hanging:  # one that had not given its first sign is waited for
            with suppress(psutil.NoSuchProcess):
                process.resume()
    assert driver.wait(timeout=150) == 0, log.read_text()
    assert "(attempt 2)" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert len(results(folder)) == 9


def test_a_study_in_use_is_refused_to_another_driver(folder: Path) -> None:
    driver = start(folder)
    wait_until(lambda: (folder / "studies/tiny/plan.json").exists(), driver)
    second = run(folder)
    assert second.returncode == 3
    assert f"process {driver.pid}" in second.stderr
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(timeout=60) == 143


def test_a_failing_stage_blocks_its_own_and_nothing_else(folder: Path) -> None:
    done = run(folder, "--set", "pretrain.learning_rate=1e30")
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(results(folder)) == 4, "the cells of Random"
    [failure] = (folder / "studies/tiny/stages").glob("pretrain-*/failure.json")
    document = json.loads(failure.read_text())
    assert document["class"] == "StageError"
    assert document["attempts"] == 2, "the same error twice is final"
    assert "blocks 4 stages" in done.stdout
    assert "--cell" in done.stdout
    assert "blocked" in (folder / "studies/tiny/report/index.html").read_text()


def test_a_stage_alone_gives_the_same_weights_as_in_the_sweep(finished: Path, folder: Path) -> None:
    [pretrained] = [name for name in results(finished) if name.startswith("pretrain-")]
    key = pretrained.rpartition("-")[2]
    done = run(folder, "--cell", key)
    assert done.returncode == 0, done.stderr
    swept, alone = (json.loads(results(f)[pretrained])["digests"] for f in (finished, folder))
    assert alone["weights.safetensors"] == swept["weights.safetensors"]
    cell = next(name for name in results(finished) if name.startswith("finetune-tiny-Tissue"))
    assert run(folder, "--cell", cell.rpartition("-")[2]).returncode == 0
    swept, alone = (json.loads(results(f)[cell])["digests"] for f in (finished, folder))
    assert alone["predictions.parquet"] == swept["predictions.parquet"]


def test_a_stage_alone_names_what_it_needs_first(finished: Path, folder: Path) -> None:
    cell = next(name for name in results(finished) if name.startswith("finetune-tiny-Tissue"))
    refused = run(folder, "--cell", cell.rpartition("-")[2])
    assert refused.returncode == 2
    assert "--cell" in refused.stderr
    assert not results(folder)


def test_a_stage_that_all_wait_for_is_trained_by_several_workers(folder: Path) -> None:
    """On CPU only where it is asked for, and with a network without batch norm."""
    network = "{model: torchvision/squeezenet1_1, options: {dropout: 0.0}}"
    text = GRID.replace("{model: timm/test_resnet}", network).replace("  Random: {}\n", "")
    (folder / "tiny.yaml").write_text(text.replace("[0.02, 0.05]", "[0.002]"))
    done = run(folder, "--widest", "2", "--set", "pretrain.learning_rate=0.002")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name.partition("-")[0]: json.loads(text) for name, text in results(folder).items()}
    if len(os.sched_getaffinity(0)) > 1:
        assert found["pretrain"]["environment"]["world_size"] == 2
    assert found["finetune"]["environment"]["world_size"] in (1, 2)
    assert len(results(folder)) == 3


def test_a_limit_stops_the_run_before_it_is_passed(folder: Path) -> None:
    """A worker's second costs 1: a limit of money is one of time, and does not depend on how long Ray takes to start."""
    limited = ("--price", "3600", "--max-cost", "6", "--set", "finetune.epochs=50")
    stopped = run(folder, *limited)
    assert stopped.returncode == 130, stopped.stdout + stopped.stderr
    spent = re.search(r"stopped: ([\d.]+) of 6\.00 are spent", stopped.stdout)
    assert spent or "not started, for the limits: " in stopped.stdout
    assert spent is None or float(spent[1]) < 6
    assert len(results(folder)) < 9
    assert "this goes on: python -m sweep.run --grid tiny.yaml --price 3600 --max-cost 6" in stopped.stdout
    assert (folder / "studies/tiny/report/index.html").exists()
