"""A stage that is killed goes on from its last epoch, and ends with the same bits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables.checkpoint import DIGEST_BYTES, FILE, Checkpoint
from trainables.data.packed import prepare
from trainables.data.readers import Generated
from trainables.data.splits import SplitSpec, cross_validation
from trainables.site import Site
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.stage import run_stage
from trainables.storage import Storage
from trainables.study import StageFolder, Study

ALONE = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_checkpoint import make
from trainables.stage import run_stage
stage, study, site = make(Path({cache!r}), Path({folder!r}))
for progress in run_stage(stage, study, site):
    print(progress.epoch, flush=True)
"""


def make(cache: Path, folder: Path) -> tuple[Stage, Study, Site]:
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
    return stage, study, Site({"cells": str(data.folder)}, {}, checkpoint_seconds=0)


@pytest.mark.slow
def test_kill_9_in_mid_epoch_then_resumed_ends_bit_identical(tmp_path: Path) -> None:
    stage, undisturbed, site = make(tmp_path / "cache", tmp_path / "undisturbed")
    list(run_stage(stage, undisturbed, site))
    code = ALONE.format(
        tests=str(Path(__file__).parent), cache=str(tmp_path / "cache"), folder=str(tmp_path / "disturbed")
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 3:
            time.sleep(0.1)  # into the next epoch
            process.kill()
            break
    process.wait()
    _, disturbed, _ = make(tmp_path / "cache", tmp_path / "disturbed")
    folder = disturbed.folder(stage)
    assert folder.result() is None
    epochs = list(run_stage(stage, disturbed, site))
    assert epochs[0].epoch == 4, "goes on after the last finished epoch"
    one, other = undisturbed.folder(stage).result(), folder.result()
    assert one is not None
    assert other is not None
    for file in ("weights.safetensors", "predictions.parquet"):
        assert one["digests"][file] == other["digests"][file]
    assert one["metrics"] == other["metrics"]
    assert one["selected_epoch"] == other["selected_epoch"]
    assert not disturbed.storage.exists(f"stages/{folder.name}/{FILE}")


def checkpoint(tmp_path: Path, key: str = "k", seconds: float = 0) -> Checkpoint:
    return Checkpoint(StageFolder(Storage(tmp_path), "stage"), key, seconds)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint(tmp_path).save({"epochs": [1, 2]})
    assert checkpoint(tmp_path).load() == {"epochs": [1, 2]}


def test_none_is_loaded_where_there_is_none_or_it_is_torn_or_another_stage_s(tmp_path: Path) -> None:
    assert checkpoint(tmp_path).load() is None
    checkpoint(tmp_path).save({"epochs": []})
    assert checkpoint(tmp_path, key="other").load() is None
    file = tmp_path / "stages/stage" / FILE
    file.write_bytes(file.read_bytes()[:-1])
    assert checkpoint(tmp_path).load() is None


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


def test_it_is_not_written_more_often_than_asked(tmp_path: Path) -> None:
    slow = checkpoint(tmp_path, seconds=3600)
    slow.save({"epochs": []})
    assert slow.load() is None
