"""Tests of whole range tests: what they leave, that they are repeatable, and against torch-lr-finder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainables.support.stage_bench import Bench, Ran, run
from trainables.lr_range.ramp import ramp_rates
from trainables.lr_range.suggestion import steepest_per_step
from trainables.specs import FoundRate, ModelSpec, Ramp, Stage
from trainables.stage.log import StageLog
from trainables.stage.lr_range import endless_batches, watched
from trainables.stage.setup import Setup, set_up
from trainables.stage.task import StageTask
from trainables.store import layout
from trainables.training.distributed import DistributedContext
from trainables.training.evaluation import batch_statistics

CPU = DistributedContext(torch.device("cpu"))
RAMP = Ramp(start=1e-4, end=0.5, steps=24, val_images=40, fallback=0.02)
NO_NORM = ModelSpec(model="torchvision/squeezenet1_1", options={"dropout": 0.0})


def range_stage(bench: Bench, ramp: Ramp = RAMP, **fields: Any) -> Stage:
    return bench.stage(kind="lr_range", name="range", fold=1, learning_rate=None, ramp=ramp, **fields)


@pytest.fixture(scope="module")
def tested(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A finished range test. Not to be changed; cells may be run in its study."""
    return run(range_stage(bench), bench.study(tmp_path_factory.mktemp("studies")), bench.runtime)


def test_it_leaves_a_curve_and_a_choice_with_its_reason(tested: Ran) -> None:
    assert {file.name for file in tested.folder.iterdir()} == {"stage.json", "result.json", layout.CURVE, "log.txt"}
    curve, result = tested.table(layout.CURVE), tested.result
    assert curve.column_names == ["learning_rate", "loss", "smoothed_loss", "chosen", "rules"]
    assert curve["learning_rate"].to_pylist() == ramp_rates(RAMP)[: len(curve)].tolist()
    chosen = [row for row in curve.to_pylist() if row["chosen"]]
    assert [row["learning_rate"] for row in chosen] == pytest.approx([result["learning_rate"]])
    assert "steepest" in chosen[0]["rules"]
    assert result["choice"]["rule"] == "steepest"
    assert "falls fastest" in result["choice"]["reason"]
    assert result["selected_on"] == "val loss of the range test"
    assert result["metrics"] == {}
    assert result["weights"].startswith("dropped")
    assert "start rate" in (tested.folder / "log.txt").read_text()


def test_it_gives_the_same_bits_again(tested: Ran, bench: Bench, tmp_path: Path) -> None:
    torch.manual_seed(99)
    again = run(range_stage(bench), bench.study(tmp_path), bench.runtime)
    assert again.result["digests"] == tested.result["digests"]
    assert again.result["choice"] == tested.result["choice"]


def test_each_fold_has_its_own(tested: Ran, bench: Bench, tmp_path: Path) -> None:
    other = run(range_stage(bench).model_copy(update={"fold": 2}), bench.study(tmp_path), bench.runtime)
    assert other.table(layout.CURVE)["loss"].to_pylist() != tested.table(layout.CURVE)["loss"].to_pylist()


def test_a_curve_without_a_minimum_gives_the_fallback(bench: Bench, tmp_path: Path) -> None:
    flat = RAMP.model_copy(update={"start": 1e-12, "end": 1e-11})
    result = run(range_stage(bench, flat), bench.study(tmp_path), bench.runtime).result
    assert result["learning_rate"] == RAMP.fallback
    assert result["choice"]["rule"] == "fallback"
    assert "no clear minimum" in result["choice"]["reason"]


def test_a_ramp_into_the_void_ends_early(bench: Bench, tmp_path: Path) -> None:
    steep = RAMP.model_copy(update={"end": 1e6})
    ran = run(range_stage(bench, steep), bench.study(tmp_path), bench.runtime)
    assert 2 < len(ran.table(layout.CURVE)) < RAMP.steps
    assert ran.result["learning_rate"] < 1e3


def test_a_cell_trains_at_the_rate_that_was_found_times_its_factor(tested: Ran, bench: Bench) -> None:
    key = str(tested.stage.key)
    cell = bench.stage(
        learning_rate=None, found_rate=FoundRate(key=key, times=0.5), upstream=(key,), recipe={"epochs": 1}
    )
    ran = run(cell, tested.study, bench.runtime)
    assert ran.result["learning_rate"] == pytest.approx(tested.result["learning_rate"] / 2)
    assert ran.table("history.parquet")["learning_rate"].to_pylist()[0] == ran.result["learning_rate"]


def test_batch_statistics_leave_no_trace(bench: Bench) -> None:
    module = set_up_of(bench, range_stage(bench)).backbone.module
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    images = torch.randn(8, 3, 32, 32)
    with torch.inference_mode(), batch_statistics(module):
        watched_logits = module(images)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    with torch.inference_mode():
        assert not torch.equal(module.eval()(images), watched_logits), "running averages would give others"


# Against an established implementation


def set_up_of(bench: Bench, stage: Stage) -> Setup:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return set_up(StageTask(stage, bench.study(Path(folder)), bench.runtime, StageLog(stage)), CPU, None)


def loader(batches: list[Any]) -> DataLoader[Any]:
    images, labels = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
    return DataLoader(TensorDataset(images, labels), batch_size=len(batches[0].labels))


@pytest.mark.parametrize("mode", ["linear", "exponential"])
@pytest.mark.parametrize("watch", ["train", "val"])
def test_curve_and_choice_agree_with_torch_lr_finder(bench: Bench, tmp_path: Path, mode: str, watch: str) -> None:
    lr_finder = pytest.importorskip("torch_lr_finder")
    from trainables.data.loading.batches import evaluation_batches

    ramp = Ramp(start=1e-3, end=0.05, steps=16, mode=mode, loss=watch, smoothing=0.6, diverged=5, fallback=0.01)
    stage = range_stage(bench, ramp, model=NO_NORM, recipe={"weight_decay": 0.0, "image_size": 48})
    ours = run(stage, bench.study(tmp_path), bench.runtime)
    setup = set_up_of(bench, stage)
    source = endless_batches(setup)
    train = loader([next(source) for _ in range(ramp.steps)])
    val = watched(setup.parts["val"], ramp.val_images, stage.seed, stage.fold)
    module = setup.backbone.module.to(memory_format=torch.channels_last)
    finder = lr_finder.LRFinder(
        module, torch.optim.SGD(module.parameters(), ramp.start, momentum=0.9), torch.nn.CrossEntropyLoss(), "cpu"
    )
    finder.range_test(
        train,
        val_loader=loader(list(evaluation_batches(val, setup.input_spec))) if watch == "val" else None,
        start_lr=ramp.start,
        end_lr=ramp.end,
        num_iter=ramp.steps,
        step_mode="exp" if mode == "exponential" else "linear",
        smooth_f=1 - ramp.smoothing,
        diverge_th=ramp.diverged,
    )
    theirs = finder.history
    curve = ours.table(layout.CURVE)
    assert len(curve) == len(theirs["loss"])
    np.testing.assert_allclose(curve["learning_rate"], theirs["lr"], rtol=1e-6)
    np.testing.assert_allclose(curve["smoothed_loss"], theirs["loss"], rtol=2e-4)
    smoothed = np.array(curve["smoothed_loss"])
    assert smoothed.max() - smoothed.min() > 0.01, "a flat curve would agree with anything"
    # Their suggestion is the steepest point per step of the whole curve; ours is of the fall to the minimum.
    lowest = int(np.argmin(smoothed))
    suggested = int(np.gradient(np.array(theirs["loss"]))[: lowest + 1].argmin())
    assert steepest_per_step(smoothed) == suggested
    if mode == "linear" and ours.result["choice"]["rule"] == "steepest":
        assert ours.result["choice"]["place"] == suggested
