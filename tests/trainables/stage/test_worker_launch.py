"""Tests of stages of several workers: a real Ray cluster, gloo, two processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray

from sweep.engine.ray_session import ray_session
from tests.trainables.support.stage_bench import Bench, Ran, run
from trainables.compat.ray import no_retries
from trainables.errors import LostError, StageError
from trainables.runtime import Workers
from trainables.specs import ModelSpec
from trainables.stage.run import run_stage

TWO = Workers(count=2, cpus=1)
NO_NORM = ModelSpec(model="torchvision/squeezenet1_1", options={"dropout": 0.0})
RECIPE = {"batch_size": 7, "image_size": 48, "epochs": 2}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of this machine's own, with authentication."""
    with ray_session(None):
        yield


def run_on_two(bench: Bench, folder: Path, stage: Any) -> Ran:
    study = bench.study(folder)
    return Ran(stage, study, list(run_stage(stage, study, bench.runtime, workers=TWO)))


def test_two_workers_train_and_score_as_one_does(bench: Bench, tmp_path: Path, cluster: None) -> None:
    """On sets that two workers cannot share evenly: batches of 7, and odd parts."""
    stage = bench.stage(model=NO_NORM, learning_rate=0.002, recipe=RECIPE)
    alone = run(stage, bench.study(tmp_path / "alone"), bench.runtime)
    both = run_on_two(bench, tmp_path / "both", stage)
    parts = alone.table("predictions.parquet")["split"].to_pylist()
    assert parts.count("val") % 2 == 1 or parts.count("test") % 2 == 1
    assert both.result["environment"]["world_size"] == 2
    assert [told.epoch for told in both.progress if told.metrics] == [1, 2]
    for column in ("loss", "accuracy", "f1_macro"):
        np.testing.assert_allclose(
            both.table("history.parquet")[column], alone.table("history.parquet")[column], rtol=1e-3
        )
    one, other = (ran.table("predictions.parquet") for ran in (alone, both))
    assert other["image_id"].to_pylist() == one["image_id"].to_pylist()
    np.testing.assert_allclose(
        np.array(other["logits"].to_pylist()), np.array(one["logits"].to_pylist()), rtol=1e-2, atol=1e-3
    )
    assert both.result["metrics"].keys() == alone.result["metrics"].keys()
    log = (both.folder / "log.txt").read_text()
    assert "2 × cpu" in log
    assert "epoch 1: train loss" in log


def test_what_a_worker_raises_is_the_stage_s_failure(bench: Bench, tmp_path: Path, cluster: None) -> None:
    stage = bench.stage(recipe={"epochs": 1})  # has batch norm
    with pytest.raises(StageError, match="batch norm layers, and torch synchronises them") as caught:
        run_on_two(bench, tmp_path, stage)
    assert "in a worker" in "".join(caught.value.__notes__)
    failure = bench.study(tmp_path).folder(stage).failure()
    assert failure is not None
    assert failure["class"] == "StageError"
    assert "in with_sync_batch_norm" in failure["traceback"]


def test_a_worker_that_is_killed_is_a_loss_and_the_stage_goes_on_from_its_checkpoint(
    bench: Bench, tmp_path: Path, cluster: None
) -> None:
    stage = bench.stage(model=NO_NORM, learning_rate=0.002, recipe=RECIPE | {"epochs": 6})
    study = bench.study(tmp_path)
    runtime = type(bench.runtime)(bench.runtime.data, {}, checkpoint_seconds=0, progress_seconds=0)

    def kill_one_on_the_way() -> None:
        for progress in run_stage(stage, study, runtime, workers=TWO):
            if progress.epoch >= 3:
                kill_one_worker()

    with pytest.raises(LostError, match="a worker was lost"):
        kill_one_on_the_way()
    assert study.folder(stage).result() is None
    failure = study.folder(stage).failure()
    assert failure is not None
    assert failure["class"] == "LostError"
    going_on = [p.epoch for p in run_stage(stage, study, runtime, workers=TWO) if p.metrics]
    assert 1 < going_on[0] <= 5
    assert going_on[-1] == 6
    assert study.folder(stage).result() is not None
    assert study.folder(stage).failure() is None


def test_workers_that_find_no_room_are_a_loss_and_not_waited_for(
    bench: Bench, tmp_path: Path, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node may go between the moment a width is chosen and the start: the schedule then chooses another."""
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    stage = bench.stage(model=NO_NORM, learning_rate=0.002, recipe=RECIPE)
    more_than_there_are = Workers(count=int(ray.cluster_resources()["CPU"]) + 1, cpus=1)
    with pytest.raises(LostError, match="a worker was lost"):
        list(run_stage(stage, bench.study(tmp_path), bench.runtime, workers=more_than_there_are))


def test_ray_train_tries_nothing_again_by_itself() -> None:
    budgets = vars(no_retries())
    assert {budgets[name] for name in ("max_failures", "controller_failure_limit", "max_preemption_failures")} == {0}


def workers_here() -> list[psutil.Process]:
    """The Train workers of this test's own cluster: whatever else runs on this machine is not ours."""
    found = [p for p in psutil.process_iter(["cmdline"]) if any("RayTrainWorker" in c for c in p.info["cmdline"] or ())]
    return [p for p in found if os.getpid() in [parent.pid for parent in p.parents()]]


def kill_one_worker() -> None:
    for worker in workers_here()[-1:]:
        worker.send_signal(signal.SIGKILL)


def test_a_stage_that_is_stopped_gives_its_place_back(bench: Bench, tmp_path: Path, cluster: None) -> None:
    stage = bench.stage(model=NO_NORM, learning_rate=0.002, recipe=RECIPE | {"epochs": 500})
    running = run_stage(stage, bench.study(tmp_path), bench.runtime, workers=TWO)
    next(running)
    assert workers_here()
    running.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 30
    while (workers_here() or ray.available_resources().get("CPU") != 2) and time.monotonic() < until:
        time.sleep(0.2)
    assert not workers_here()
    assert ray.available_resources()["CPU"] == 2
