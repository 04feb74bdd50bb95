"""A stage that is killed goes on from its last epoch, and ends with the same bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from trainables.data.packing.prepare import prepare
from trainables.data.readers.builtin.generated import Generated
from trainables.data.splits.splits import SplitSpec, cross_validation
from trainables.runtime import RuntimeContext
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.stage.run import run_stage
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study
from trainables.training.checkpoint import DIGEST_BYTES, FILE, Checkpoint

ALONE = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import trainables.training.checkpoint
from tests.trainables.training.test_checkpoint import make
from trainables.stage.run import run_stage
trainables.training.checkpoint.SHARE_OF_TIME = 1e9  # a checkpoint at every step
stage, study, site = make(Path({cache!r}), Path({folder!r}))
for progress in run_stage(stage, study, site):
    print(progress.epoch, flush=True)
"""


def make(cache: Path, folder: Path) -> tuple[Stage, Study, RuntimeContext]:
    """A small stage of 8 epochs with SGD momentum and batch norm, in a study at ``folder``."""
    spec = Generated(reader="generated", generator="blood_cells", images_per_class=20, size=48)
    data = prepare("cells", spec, cache, cache)
    split = cross_validation("cells", data, SplitSpec(folds=2))
    study = Study(Storage(folder))
    study.write_split(split.digest, split.table)
    stage = Stage(
        kind="finetune",
        name="tiny",
        architecture="tiny",
        scenario="Random",
        fold=1,
        learning_rate=0.02,
        seed=3,
        split=split.digest,
        upstream=(),
        model=ModelSpec(model="timm/test_resnet"),
        initial=RandomWeights(),
        data=StageData(name="cells", fingerprint=data.fingerprint, classes=data.classes, size=48),
        recipe=Recipe(image_size=48, epochs=8, batch_size=8, decay="plateau", decay_epochs=1, warmup_epochs=1),
    )
    return stage, study, RuntimeContext({"cells": str(data.folder)}, {}, checkpoint_seconds=0, progress_seconds=0)


UNTIMED = ["epoch", "split", "loss", "accuracy", "f1_macro", "learning_rate"]


def results(study: Study, stage: Stage) -> tuple[dict[str, Any], dict[str, Any]]:
    """What must be alike of two runs of a stage, and the history without its times."""
    folder = study.folder(stage)
    result = folder.result()
    assert result is not None
    digests = {file: result["digests"][file] for file in ("weights.safetensors", "predictions.parquet")}
    history = study.storage.read_table(f"stages/{folder.name}/history.parquet").select(UNTIMED).to_pydict()
    return digests | {name: result[name] for name in ("metrics", "selected_epoch")}, history


def killed(tmp_path: Path, when: Callable[[float], bool]) -> None:
    """Run the stage in a process of its own; kill -9 it when told an epoch that will do."""
    code = ALONE.format(
        tests=str(Path(__file__).parents[3]), cache=str(tmp_path / "cache"), folder=str(tmp_path / "disturbed")
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if when(float(line)):
            process.kill()
            break
    process.wait()
    process.stdout.close()


@pytest.mark.slow
def test_kill_9_in_mid_epoch_then_resumed_ends_bit_identical(tmp_path: Path) -> None:
    stage, undisturbed, runtime = make(tmp_path / "cache", tmp_path / "undisturbed")
    list(run_stage(stage, undisturbed, runtime))
    killed(tmp_path, lambda epoch: epoch > 2 and epoch % 1 > 0.3)
    killed(tmp_path, lambda epoch: epoch > 5 and epoch % 1 > 0.6)
    _, disturbed, _ = make(tmp_path / "cache", tmp_path / "disturbed")
    folder = disturbed.folder(stage)
    assert folder.result() is None
    epochs = [progress.epoch for progress in run_stage(stage, disturbed, runtime)]
    assert 5 < epochs[0] < 6.5, "goes on after the last step kept"
    assert results(disturbed, stage) == results(undisturbed, stage)
    assert not disturbed.storage.exists(f"stages/{folder.name}/{FILE}")


def test_a_stopped_stage_goes_on_where_it_was(tmp_path: Path) -> None:
    stage, undisturbed, runtime = make(tmp_path / "cache", tmp_path / "undisturbed")
    list(run_stage(stage, undisturbed, runtime))
    _, stopped, _ = make(tmp_path / "cache", tmp_path / "stopped")
    seldom = replace(runtime, checkpoint_seconds=3600.0)
    running = run_stage(stage, stopped, seldom)
    reached = next(progress.epoch for progress in running if progress.epoch > 3 and progress.epoch % 1)
    running.close()  # type: ignore[attr-defined]
    going_on = [progress.epoch for progress in run_stage(stage, stopped, seldom)]
    assert reached < going_on[0] < reached + 1
    assert results(stopped, stage) == results(undisturbed, stage)


STOPPED = {
    "while it looks at val": ([(3, False)], "resumed after 2 epochs and {steps} steps"),
    "while it scores in the end": ([(8, True), (8, False)], "resumed after 8 epochs and 0 steps"),
}


@pytest.mark.parametrize("where", STOPPED)
def test_a_stage_that_is_stopped_while_it_scores_goes_on_from_there(tmp_path: Path, where: str) -> None:
    stage, undisturbed, runtime = make(tmp_path / "cache", tmp_path / "undisturbed")
    list(run_stage(stage, undisturbed, runtime))
    _, stopped, _ = make(tmp_path / "cache", tmp_path / "stopped")
    seldom = replace(runtime, checkpoint_seconds=3600.0)
    last_signs, resumed = STOPPED[where]
    signs: list[tuple[float, bool]] = []  # epochs done, and whether this is the sign that shows them
    running = run_stage(stage, stopped, seldom)
    while signs[-len(last_signs) :] != last_signs:
        progress = next(running)
        signs.append((progress.epoch, bool(progress.metrics)))
    running.close()  # type: ignore[attr-defined]
    assert stopped.folder(stage).result() is None
    list(run_stage(stage, stopped, seldom))
    [log] = (tmp_path / "stopped").glob("stages/*/log.txt")
    steps = 1 + sum(2 < epoch < 3 for epoch, _ in signs)  # the last step of an epoch gives no sign of its own
    assert resumed.format(steps=steps) in log.read_text()
    assert results(stopped, stage) == results(undisturbed, stage)


# What is kept


def state(epochs: int, steps: int = 0) -> dict[str, Any]:
    return {"epochs": list(range(epochs)), "tally": {"steps": steps}}


def checkpoint(tmp_path: Path, key: str = "k", seconds: float = 0, **more: Any) -> Checkpoint:
    return Checkpoint(StageFolder(Storage(tmp_path), "stage"), key, seconds, **more)


def test_what_is_kept_is_loaded(tmp_path: Path) -> None:
    checkpoint(tmp_path).offer(lambda: state(2))
    assert checkpoint(tmp_path).load() == state(2)


def test_none_is_loaded_where_there_is_none_or_it_is_torn_or_another_stage_s(tmp_path: Path) -> None:
    assert checkpoint(tmp_path).load() is None
    checkpoint(tmp_path).offer(lambda: state(0))
    assert checkpoint(tmp_path, key="other").load() is None
    file = tmp_path / "stages/stage" / FILE
    file.write_bytes(file.read_bytes()[:-1])
    assert checkpoint(tmp_path).load() is None


def test_it_is_not_written_more_often_than_asked_but_when_stopped(tmp_path: Path) -> None:
    slow = checkpoint(tmp_path, seconds=3600)
    slow.offer(lambda: pytest.fail("nothing is to be packed before it is due"))
    assert slow.load() is None
    slow.save(lambda: state(1))
    assert slow.load() == state(1)


def test_writing_takes_a_bounded_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes 0.1 s is followed by at least 2 s without one."""
    clock = [0.0]
    monkeypatch.setattr("trainables.training.checkpoint.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(Storage, "write", lambda *_: clock.__setitem__(0, clock[0] + 0.1))
    kept = checkpoint(tmp_path)
    taken: list[float] = []

    def told() -> dict[str, Any]:
        taken.append(clock[0])
        return state(1)

    for _ in range(100):
        clock[0] += 0.1
        kept.offer(told)
    gaps = [after - before for before, after in pairwise(taken)]
    assert len(gaps) > 2
    assert min(gaps) >= 2


def test_the_furthest_of_scratch_and_study_is_loaded(tmp_path: Path) -> None:
    scratch = str(tmp_path / "scratch")
    both = checkpoint(tmp_path, scratch=scratch)
    both.save(lambda: state(2, 7))
    checkpoint(tmp_path, seconds=3600, scratch=scratch).offer(lambda: state(2, 9))
    assert checkpoint(tmp_path, scratch=scratch).load() == state(2, 9)
    assert checkpoint(tmp_path).load() == state(2, 7)
    both.discard()
    assert both.load() is None
    assert not list((tmp_path / "scratch").iterdir())


def test_a_checkpoint_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file where a folder should be")
    told: list[str] = []
    checkpoint(tmp_path, warn=told.append).save(lambda: state(1))
    assert len(told) == 1
    assert "no checkpoint could be written" in told[0]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_in_its_place_is_not_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "run",))

    payload = pickle.dumps(Evil())
    file = tmp_path / "stages/stage" / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(hashlib.sha256(payload).digest() + payload)
    assert hashlib.sha256().digest_size == DIGEST_BYTES
    assert checkpoint(tmp_path).load() is None
    assert not (tmp_path / "run").exists()
