"""Throughput, time left and cost of a run, from its events, with a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweep.cost.prices import load_prices
from sweep.cost.throughput_file import read_speeds
from sweep.monitor.progress_stats import ProgressStats
from sweep.monitor.throughput_callback import Throughput
from sweep.plan.plan import Plan
from sweep.schedule.graph import Task
from sweep.schedule.parallelism import speedup
from sweep.schedule.scheduler import State

DEVICE = "NVIDIA A10G"
RESULT = {"environment": {"device": DEVICE, "world_size": 1}, "seconds": 0.0}


class Clocked:
    """A ``Throughput`` with a clock and numbers of workers that are set by hand."""

    def __init__(self, plan: Plan, file: Path) -> None:
        self.now, self.at_work = 0.0, dict[str, int]()
        costs = {str(s.key): 12.0 if s.kind == "pretrain" else 6.0 for s in plan.stages}
        images = {str(s.split): 100 for s in plan.stages}
        self.throughput = Throughput(plan.stages, costs, images, self.at_work, ["A10G"], file, lambda: self.now)

    def train(self, stage: Any, takes: float, num_workers: int = 1, epoch_seconds: float = 0.0, **result: Any) -> None:
        self.at_work[str(stage.key)] = num_workers
        self.throughput.started(stage, 1)
        for epoch in range(2 if epoch_seconds else 0):
            self.throughput.progressed(stage, {"epoch": epoch + 0.5, "epochs": 2, "metrics": {}})
            self.throughput.progressed(stage, {"epoch": epoch + 1, "epochs": 2, "metrics": {"seconds": epoch_seconds}})
        self.now += takes
        self.throughput.finished(stage, RESULT | result)


@pytest.fixture
def clocked(plan: Plan, tmp_path: Path) -> Clocked:
    return Clocked(plan, tmp_path / "speeds.json")


def test_a_run_learns_from_its_stages(clocked: Clocked, plan: Plan) -> None:
    pretrain, cell, *_ = plan.stages
    assert clocked.throughput.seconds(str(cell.key)) is None
    clocked.train(pretrain, 120.0)
    assert clocked.throughput.seconds(str(cell.key)) == pytest.approx(60)


def test_a_stage_of_several_workers_counts_as_on_one(clocked: Clocked, plan: Plan) -> None:
    clocked.train(plan.stages[0], 120.0, num_workers=4)
    assert clocked.throughput.seconds(str(plan.cells[0].key)) == pytest.approx(60 * speedup(4))


def test_a_stage_that_went_on_from_a_checkpoint_took_longer_than_its_last_attempt(clocked: Clocked, plan: Plan) -> None:
    clocked.train(plan.stages[0], 10.0, seconds=120.0)
    assert clocked.throughput.seconds(str(plan.cells[0].key)) == pytest.approx(60)


def test_an_attempt_that_failed_teaches_nothing(clocked: Clocked, plan: Plan) -> None:
    clocked.throughput.started(plan.stages[0], 1)
    clocked.throughput.failed(plan.stages[0], "E", again=True, blocked=[])
    assert clocked.throughput.seconds(str(plan.cells[0].key)) is None


def test_what_one_run_measured_the_next_plan_and_the_next_run_know(
    clocked: Clocked, plan: Plan, tmp_path: Path
) -> None:
    cell = plan.cells[0]
    assert cell.recipe.epochs == 3
    clocked.train(cell, 999.0, epoch_seconds=4.0)  # 100 images in 4 s
    work = 6.0
    estimator = load_prices().estimator("a10g", read_speeds(tmp_path / "speeds.json"))
    assert estimator.is_measured(cell)
    assert not load_prices().estimator("l4", read_speeds(tmp_path / "speeds.json")).is_measured(cell)
    again = Clocked(plan, tmp_path / "speeds.json")
    assert again.throughput.seconds(str(cell.key)) == pytest.approx(estimator.seconds(cell, work))
    again.train(plan.cells[1], 50.0)
    assert again.throughput.seconds(str(cell.key)) == pytest.approx(50.0), "what it sees itself counts more"


def test_seconds_of_images_are_those_of_whole_epochs(plan: Plan, tmp_path: Path) -> None:
    from sweep.cost.throughput import STAGE_SECONDS
    from sweep.cost.work import stage_work

    cell, clocked = plan.cells[0], Clocked(plan, tmp_path / "speeds.json")
    clocked.train(cell, 999.0, epoch_seconds=4.0)
    work = stage_work(cell, {str(cell.split): 100})
    estimator = load_prices().estimator("a10g", read_speeds(tmp_path / "speeds.json"))
    assert estimator.seconds(cell, work) == pytest.approx(STAGE_SECONDS + 3 * 4.0)


class FakeRun:
    """Driver and capacity in one: two slots, the first of three tasks half done."""

    def __init__(self, now: list[float]) -> None:
        self.states: dict[str, State] = {"a": "running", "b": "running", "c": "running"}
        self.at_work = {"a": 1, "b": 1}
        self.price, self.looks, self.now = 7.2, 0, now

    def share(self, key: str) -> float:
        return 0.5 if key == "a" else 0.0

    def slots(self) -> int:
        self.looks += 1
        self.now[0] += 0.05
        return 2

    def spent(self) -> float:
        return 1.0


def progress_stats(run: FakeRun, seconds: Mapping[str, float]) -> ProgressStats:
    tasks = [Task(key, (), 1.0) for key in "abc"]
    return ProgressStats(run, run, tasks, seconds.get, "GPUs", lambda: run.now[0])


def test_a_snapshot_counts_running_parts_slots_and_money() -> None:
    run = FakeRun([500.0])
    seen = progress_stats(run, dict.fromkeys("abc", 100.0)).snapshot()
    assert (seen.unit, seen.slots, seen.busy) == ("GPUs", 2, 2)
    assert seen.end == pytest.approx(500 + 150, abs=0.1), "half of a, then c; b beside them"
    assert seen.spent == 1.0
    assert seen.bill == pytest.approx(1.0 + 250 * 7.2 / 3600)


def test_nothing_known_is_no_guess_and_what_costs_nothing_has_no_bill() -> None:
    run = FakeRun([0.0])
    seen = progress_stats(run, {"a": 100.0}).snapshot()
    assert (seen.end, seen.spent, seen.bill) == (None, 1.0, None)
    run.price = 0.0
    assert progress_stats(run, {}).snapshot().spent is None


def test_it_looks_when_something_happens_and_takes_little_of_the_time_for_it(plan: Plan) -> None:
    run = FakeRun([0.0])
    out = progress_stats(run, {})
    out.started(plan.stages[0], 1)
    assert run.looks == 2
    for _ in range(100):  # of 10 s; a look takes 50 ms
        run.now[0] += 0.1
        out.progressed(plan.stages[0], {})
    assert 8 <= run.looks <= 12
    run.at_work = {}
    run.now[0] += 2
    out.finished(plan.stages[0], {})
    assert out.snapshot().busy == 0
