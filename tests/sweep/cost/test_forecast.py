"""Speeds, prices, and what a plan takes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.cost.forecast import START_SECONDS, Forecast, Machines, forecast
from sweep.cost.prices import OWN, load_prices
from sweep.cost.throughput import STAGE_SECONDS, MeasuredThroughput
from sweep.cost.throughput_file import learn, read_speeds, write_speeds
from sweep.cost.work import stage_work, train_images
from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.monitor.plan_view import plan_tables
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan
from sweep.schedule.parallelism import speedup
from trainables.errors import UserError
from trainables.models.complexity import known
from trainables.specs import Ramp


@pytest.fixture(scope="module")
def paper() -> Plan:
    """The study itself, nothing of it at hand."""
    return make_plan(load_grid("paper", []), Inputs())


def of(plan: Plan, slots: int = 16, done: frozenset[str] = frozenset()) -> Forecast:
    prices = load_prices()
    images = train_images(plan.grid.file, {})
    gflop = {stage.identifier: stage_work(stage, images) for stage in plan.stages}
    estimator, device = prices.estimator("NVIDIA A10G"), prices.find("NVIDIA A10G")[1]
    return forecast(
        plan.stages,
        plan.grid.file,
        gflop,
        done,
        Machines(estimator, device, slots),
        Inputs().packed_bytes(plan.grid.data_specs),
    )


def test_published_sizes_serve_while_data_are_absent(paper: Plan) -> None:
    counts = train_images(paper.grid.file, {})
    assert counts == {"bone_marrow": round(171_373 * 0.8 * 0.9), "pcam": 262_144, "cats_vs_dogs": 22_500}
    cell = paper.cells[0]
    assert stage_work(cell, counts) == pytest.approx(3 * 19.63 * 20 * counts["bone_marrow"], rel=0.01)


def test_what_is_at_hand_is_counted(grid_text: str, load: Callable[..., Grid], at_hand: Callable[..., Inputs]) -> None:
    grid = load(grid_text)
    inputs = at_hand(grid)
    counts = train_images(grid.file, inputs.splits)
    assert counts == {split.digest: 2 for split in inputs.splits.values()}


def test_a_range_test_costs_its_steps(paper: Plan) -> None:
    cell = paper.cells[0]
    per_image = stage_work(cell, {}) / 3 / cell.recipe.epochs
    ramp = Ramp(steps=50, val_images=100, fallback=0.01)
    changes: dict[str, Any] = {"kind": "lr_range", "learning_rate": None, "ramp": ramp}
    assert stage_work(cell.model_copy(update=changes), {}) == pytest.approx(per_image * 50 * (3 * 32 + 100))
    on_train = {**changes, "ramp": ramp.model_copy(update={"loss": "train"})}
    assert stage_work(cell.model_copy(update=on_train), {}) == pytest.approx(per_image * 50 * 3 * 32)


def test_the_forecast_adds_up(paper: Plan) -> None:
    found = of(paper)
    assert found.whole == pytest.approx(found.to_do) == pytest.approx(sum(found.seconds.values()))
    assert found.wall >= found.to_do / 16
    assert found.wall <= START_SECONDS + 1.05 * found.to_do / 16
    assert found.slot_seconds >= found.to_do
    assert found.unshared > found.whole
    assert found.money() == pytest.approx(found.slot_seconds / 3600 * 1.006)
    assert found.money(spot=True) < found.money()
    row = found.row(paper.cells[0].identifier)
    assert row["gpu_hours"] == pytest.approx(row["seconds"] / 3600)
    seconds, names = found.chain
    assert [name.split("-")[0] for name in names] == ["regnet_y_32gf"] * 2
    assert seconds == pytest.approx(sum(found.seconds[name] for name in names))
    json.dumps(found.document(), allow_nan=False)


def test_start_up_is_in_the_estimate_of_the_shortest_study(paper: Plan) -> None:
    cell, prices = paper.cells[0], load_prices()
    found = forecast(
        [cell],
        paper.grid.file,
        {cell.identifier: 1e-9},
        frozenset(),
        Machines(prices.estimator("cpu"), prices.find("cpu")[1], 2),
        None,
    )
    assert found.to_do == pytest.approx(STAGE_SECONDS)
    assert found.wall == pytest.approx(START_SECONDS + STAGE_SECONDS)


def test_a_plan_for_cpus_says_no_gpu_hours(paper: Plan) -> None:
    prices = load_prices()
    gflop = {stage.identifier: 1.0 for stage in paper.stages}
    estimator, device = prices.estimator("cpu"), prices.find("cpu")[1]
    found = forecast(paper.stages, paper.grid.file, gflop, frozenset(), Machines(estimator, device, 2), None)
    said = json.dumps([found.document(), found.row(paper.cells[0].identifier)]) + found.unit
    console = Console(file=io.StringIO(), width=200)
    for table in plan_tables(paper, [], Inputs(), found, prices):
        console.print(table)
    said += console.file.getvalue()  # type: ignore[attr-defined]
    assert "GPU" not in said.upper()
    assert "CPU worker-hours" in said
    assert '"cpu_worker_hours_unshared"' in said
    assert of(paper).unit == "GPU-hours"


def test_sharing_saves_the_pre_trainings_of_all_cells_but_one(paper: Plan) -> None:
    found = of(paper)
    pre = sum(found.seconds[s.identifier] for s in paper.stages if s.kind == "pretrain")
    assert found.unshared - found.whole == pytest.approx(4 * pre), "five folds"


def test_what_is_done_is_not_to_do(paper: Plan) -> None:
    done = frozenset(stage.identifier for stage in paper.stages if stage.kind == "pretrain")
    found = of(paper, done=done)
    assert found.to_do == pytest.approx(sum(found.seconds[cell.identifier] for cell in paper.cells))
    assert len(found.chain[1]) == 1
    nothing = of(paper, done=frozenset(stage.identifier for stage in paper.stages))
    assert (nothing.wall, nothing.money(), nothing.chain) == (0.0, 0.0, (0.0, ()))


def test_disk_is_weights_and_checkpoints_and_packed_images(paper: Plan) -> None:
    disk = of(paper).disk
    rows = [known()[stage.model.model].parameters for stage in paper.stages]
    assert disk.weights == 4 * sum(rows)
    assert disk.checkpoints == 3 * 4 * sum(sorted(rows)[-16:])
    assert disk.images == 171_373 * 250**2 * 3 + 327_680 * 96**2 * 3 + 25_000 * 256**2 * 3


def test_measured_speeds_take_the_place_of_assumed_ones(paper: Plan) -> None:
    cell = paper.cells[0]
    work, speeds, prices = stage_work(cell, {"bone_marrow": 1000}), MeasuredThroughput(), load_prices()
    assert prices.estimator("a10g", speeds).seconds(cell, work) == pytest.approx(
        STAGE_SECONDS + work / (70e3 * 0.2 / 2)
    )
    speeds.add(cell, "NVIDIA A10G", 50.0)
    for name in ("a10g", "NVIDIA A10G"):
        estimator = prices.estimator(name, speeds)
        assert estimator.seconds(cell, work) == pytest.approx(STAGE_SECONDS + 1000 * cell.recipe.epochs / 50)
        assert estimator.is_measured(cell)
        assert not estimator.is_measured(paper.cells[-1]), "another architecture"
    assert not prices.estimator("l4", speeds).is_measured(cell), "another device"


def test_on_cpus_a_worker_is_so_many_threads(paper: Plan) -> None:
    cell, speeds = paper.cells[0], MeasuredThroughput()
    speeds.add(cell, "cpu (x86_64, AMD EPYC)", 5.0)
    estimator = load_prices().estimator("cpu", speeds)
    other = cell.model_copy(update={"recipe": cell.recipe.model_copy(update={"threads": 1})})
    assert [estimator.is_measured(stage) for stage in (cell, other)] == [True, False]


def test_speeds_are_learnt_from_results_and_kept(paper: Plan, tmp_path: Path) -> None:
    cell, speeds = paper.cells[0], MeasuredThroughput()
    result = {"environment": {"device": "NVIDIA A10G", "world_size": 4}}
    learn(speeds, cell, result, [1.0, 100.0, 101.0])
    learn(speeds, cell, {}, [5.0])
    learn(speeds, cell, result, [0.0])
    narrow = MeasuredThroughput()
    narrow.add(cell, "NVIDIA A10G", 100.0 / speedup(4))
    assert speeds.table() == pytest.approx(narrow.table())
    write_speeds(tmp_path / "cache" / "speeds.json", speeds)
    assert read_speeds(tmp_path / "cache" / "speeds.json").table() == speeds.table()
    assert speeds.devices() == ["NVIDIA A10G"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": "x"}', '{"a": null}', '{"a": -1, "b": NaN}'])
def test_a_torn_file_of_speeds_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "speeds.json").write_text(content)
    assert read_speeds(tmp_path / "speeds.json").table() == {}


def test_devices_are_found_by_the_names_they_call_themselves() -> None:
    prices = load_prices()
    for name, short in {"NVIDIA A100-SXM4-40GB": "a100", "NVIDIA L4": "l4", "Tesla T4": "t4", "h100": "h100"}.items():
        assert prices.find(name)[0] == short
    assert prices.find("cpu (x86_64, AMD EPYC)")[0] == "cpu"
    with pytest.raises(UserError, match="no device NVIDIA L40S in the price table, which has t4, l4"):
        prices.find("NVIDIA L40S")


def test_a_price_table_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(OWN.read_text().replace("1.006", "0.5"))
    assert load_prices(own).find("a10g")[1].on_demand == 0.5
    own.write_text(OWN.read_text().replace("1.006", "cheap").replace("currency", "curency"))
    with pytest.raises(UserError) as refused:
        load_prices(own)
    assert len(refused.value.faults) == 3, "all at once"
    with pytest.raises(UserError, match="cannot read the price table"):
        load_prices(tmp_path / "none.yaml")


def test_the_plan_prints_what_it_takes(paper: Plan) -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    rows = [{"kind": stage.kind, "state": "stale" if i < 2 else "waiting"} for i, stage in enumerate(paper.stages)]
    for table in plan_tables(paper, rows, Inputs(), of(paper), load_prices()):
        console.print(table)
    shown = console.export_text()
    lines = [line.split() for line in shown.splitlines()]
    assert ["pretrain", "16", "0", "0", "2", "16"] in [line[:6] for line in lines]
    for part in ("on 16 (", "USD on demand", "sharing saves 64 and", "w^0.95", "prices change", "regnet_y_32gf", "GB"):
        assert part in shown, part
