"""Tests of whole stages whose batches are made ahead, as on a GPU. A CPU stands for it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.support.stage_bench import Bench, Ran, run
from trainables.data.loading import prefetch
from trainables.data.packing.prepare import Packed
from trainables.specs import Ramp, Stage
from trainables.stage.run import run_stage
from trainables.training.train_step import TrainStep

RAMP = Ramp(steps=10, val_images=16, fallback=0.01)
FILES = {"finetune": ("weights.safetensors", "predictions.parquet"), "lr_range": ("curve.parquet",)}
KINDS = pytest.mark.parametrize("kind", list(FILES))


@pytest.fixture
def made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "AHEAD_ON", {"cpu"})


def stage_of(bench: Bench, kind: str) -> Stage:
    more = {} if kind == "finetune" else {"ramp": RAMP, "learning_rate": None}
    return bench.stage(kind=kind, **more)


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


def content(ran: Ran) -> list[bytes]:
    return [(ran.folder / name).read_bytes() for name in FILES[ran.stage.kind]]


@pytest.fixture(scope="module")
def plain(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """What stages leave whose batches are made between the steps."""
    assert "cpu" not in prefetch.AHEAD_ON
    study = bench.study(tmp_path_factory.mktemp("plain"))
    return {kind: content(run(stage_of(bench, kind), study, bench.runtime)) for kind in FILES}


@KINDS
@pytest.mark.usefixtures("made_ahead")
def test_a_stage_fed_ahead_ends_with_the_same_bits(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: dict[str, list[bytes]], kind: str
) -> None:
    makers: set[str] = set()
    gather = Packed.gather

    def watched(self: Packed, rows: np.ndarray) -> np.ndarray:
        makers.add(threading.current_thread().name.split("_")[0])
        return gather(self, rows)

    monkeypatch.setattr(Packed, "gather", watched)
    found = run(stage_of(bench, kind), bench.study(tmp_path), bench.runtime)
    assert makers == {"ahead"}  # train, val and test parts alike
    assert content(found) == plain[kind]
    assert helpers() == []


@KINDS
@pytest.mark.parametrize("where", ["in the thread", "in the step"])
@pytest.mark.usefixtures("made_ahead")
def test_a_failure_is_the_stages_and_leaves_no_thread(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(f"broken {where}")

    monkeypatch.setattr(*((Packed, "gather", broken) if where == "in the thread" else (TrainStep, "step", broken)))
    stage, study = stage_of(bench, kind), bench.study(tmp_path)
    with pytest.raises(RuntimeError, match=f"broken {where}") as caught:
        list(run_stage(stage, study, bench.runtime))
    assert helpers() == []  # although the traceback still holds every frame
    assert caught.traceback
    assert (tmp_path / "stages" / stage.folder / "failure.json").is_file()


@KINDS
@pytest.mark.usefixtures("made_ahead")
def test_a_stage_that_is_stopped_leaves_no_thread(bench: Bench, tmp_path: Path, kind: str) -> None:
    coming = run_stage(stage_of(bench, kind), bench.study(tmp_path), replace(bench.runtime, progress_seconds=0.0))
    next(coming)
    assert helpers() != []  # it is stopped within an epoch
    coming.close()  # type: ignore[attr-defined]
    assert helpers() == []


@pytest.mark.usefixtures("made_ahead")
def test_stopped_and_resumed_it_ends_with_the_bits_of_one_that_was_neither(
    bench: Bench, tmp_path: Path, plain: dict[str, list[bytes]]
) -> None:
    runtime = replace(bench.runtime, progress_seconds=0.0)
    stage, study = bench.stage(), bench.study(tmp_path)
    coming = run_stage(stage, study, runtime)
    next(coming)
    coming.close()  # type: ignore[attr-defined]
    found = run(stage, study, runtime)
    assert "resumed after 0 epochs and 1 steps" in (found.folder / "log.txt").read_text()
    assert content(found) == plain["finetune"]
