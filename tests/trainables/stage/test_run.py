"""Tests of whole stages, on generated cells: the files and scores that a finished stage leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.trainables.support.stage_bench import MODEL, Bench, Ran, run, split_rows
from trainables.models.backbones import build
from trainables.runtime import RuntimeContext
from trainables.specs import ModelSpec, Stage
from trainables.stage.run import run_stage
from trainables.training.metrics import confusion, summary

CONTRACT = {"stage.json", "result.json", "history.parquet", "predictions.parquet", "weights.safetensors", "log.txt"}


def test_a_cell_leaves_the_files_of_the_contract(finetuned: Ran) -> None:
    assert {file.name for file in finetuned.folder.iterdir()} == CONTRACT
    assert finetuned.folder.parent.name == "stages"
    assert Stage.from_document(json.loads((finetuned.folder / "stage.json").read_text())) == finetuned.stage


def test_a_pre_training_leaves_no_predictions(pretrained: Ran) -> None:
    assert {file.name for file in pretrained.folder.iterdir()} == CONTRACT - {"predictions.parquet"}
    assert not any(name.startswith("test") for name in pretrained.result["metrics"])


def test_the_result_has_the_fields_of_the_contract(finetuned: Ran) -> None:
    result, stage = finetuned.result, finetuned.stage
    wanted = "status key selected_on selected_epoch learning_rate classes metrics digests upstream_digests weights"
    assert result.keys() == {*wanted.split(), "environment", "seconds"}
    assert result["status"] == "done"
    assert result["key"] == stage.key
    assert result["selected_on"] == "val f1_macro"
    assert result["learning_rate"] == stage.learning_rate
    assert result["classes"] == list(stage.data.classes)
    assert result["upstream_digests"] == {}
    assert result["weights"] == "kept"
    assert result["seconds"] > 0
    measures = ("loss", "accuracy", "precision_macro", "recall_macro", "f1_macro", "mcc_macro")
    assert result["metrics"].keys() == {f"{part}_{measure}" for part in ("val", "test") for measure in measures}
    environment = result["environment"]
    assert environment.keys() >= {"commit", "versions", "device", "node", "world_size", "precision", "threads"}
    assert environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert (environment["world_size"], environment["precision"], environment["threads"]) == (1, "float32", 1)


def test_digests_are_those_of_the_files(finetuned: Ran, pretrained: Ran) -> None:
    for ran, extra in ((finetuned, {"predictions.parquet"}), (pretrained, set())):
        assert ran.result["digests"].keys() == {"history.parquet", "weights.safetensors"} | extra
        for name, digest in ran.result["digests"].items():
            assert hashlib.sha256((ran.folder / name).read_bytes()).hexdigest() == digest


def test_predictions_hold_every_val_and_test_image_once_with_its_label(bench: Bench, finetuned: Ran) -> None:
    rows = finetuned.table("predictions.parquet").to_pylist()
    wanted = split_rows(bench.cell_split, 1, "val", "test")
    assert len(rows) == len(wanted)
    assert {row["image_id"]: (row["split"], row["label"]) for row in rows} == {
        image_id: (row["split"], row["label"]) for image_id, row in wanted.items()
    }
    field = finetuned.table("predictions.parquet").schema.field("logits").type
    assert field == pa.list_(pa.float32(), 6)


def test_metrics_are_those_of_the_logits(finetuned: Ran) -> None:
    rows = finetuned.table("predictions.parquet").to_pylist()
    for part in ("val", "test"):
        labels = np.array([row["label"] for row in rows if row["split"] == part])
        logits = np.array([row["logits"] for row in rows if row["split"] == part])
        expected = {f"{part}_{name}": v for name, v in summary(confusion(labels, logits.argmax(1), 6)).items()}
        loss = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
        found = finetuned.result["metrics"]
        assert {name: found[name] for name in expected} == pytest.approx(expected)
        assert found[f"{part}_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_the_weights_kept_give_the_predictions(bench: Bench, finetuned: Ran) -> None:
    backbone = build(MODEL, 32, 6)
    backbone.module.load_state_dict(finetuned.weights)
    row = finetuned.table("predictions.parquet").to_pylist()[-1]
    number = bench.cells.index.column("image_id").to_pylist().index(row["image_id"])
    pixels = torch.from_numpy(bench.cells.gather(np.array([number]))).permute(0, 3, 1, 2) / 255
    images = (pixels - torch.tensor(backbone.mean).view(3, 1, 1)) / torch.tensor(backbone.std).view(3, 1, 1)
    with torch.inference_mode():
        assert backbone.module.eval()(images)[0].numpy() == pytest.approx(np.array(row["logits"]), abs=1e-4)


def test_the_history_shows_each_epoch_on_train_and_val(finetuned: Ran) -> None:
    history = finetuned.table("history.parquet")
    wanted = "epoch split loss accuracy f1_macro learning_rate images_per_second seconds"
    assert history.column_names == wanted.split()
    rows = history.to_pylist()
    assert [(row["epoch"], row["split"]) for row in rows] == [(0, "train"), (0, "val"), (1, "train"), (1, "val")]
    assert {row["learning_rate"] for row in rows} == {0.05}


def test_the_selected_epoch_is_the_earliest_best_on_val(finetuned: Ran) -> None:
    val = [row for row in finetuned.table("history.parquet").to_pylist() if row["split"] == "val"]
    scores = [row["f1_macro"] for row in val]
    selected = finetuned.result["selected_epoch"]
    assert selected == scores.index(max(scores))
    assert finetuned.result["metrics"]["val_f1_macro"] == scores[selected]
    assert finetuned.result["metrics"]["val_loss"] == val[selected]["loss"]


COUNTING = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.logits = nn.Parameter(torch.arange(float(num_classes)))
        self.register_buffer("steps", torch.zeros(()))
    def forward(self, images):
        if self.training:
            self.steps += 1
        return (self.logits + self.steps).expand(len(images), -1)
"""


def test_scores_and_weights_are_of_the_selected_epoch_and_not_the_last(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that never learns, and counts its steps: the first epoch is the best, and its logits tell."""
    (tmp_path / "counting_network.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    model = ModelSpec(model="counting_network:Net")
    stage = bench.stage(model=model, learning_rate=1e-30, recipe={"epochs": 3, "weight_decay": 0.0})
    ran = run(stage, bench.study(tmp_path / "study"), bench.runtime)
    steps = len(split_rows(bench.cell_split, 1, "train")) // stage.recipe.batch_size
    assert ran.result["selected_epoch"] == 0
    assert len(ran.progress) == 3
    assert float(ran.weights["steps"]) == steps
    expected = [float(number + steps) for number in range(6)]
    assert all(row["logits"] == pytest.approx(expected) for row in ran.table("predictions.parquet").to_pylist())


def test_progress_is_told_after_each_epoch(finetuned: Ran) -> None:
    assert [(told.epoch, told.epochs) for told in finetuned.progress] == [(1, 2), (2, 2)]
    val = [row for row in finetuned.table("history.parquet").to_pylist() if row["split"] == "val"]
    assert [told.metrics["val_f1_macro"] for told in finetuned.progress] == [row["f1_macro"] for row in val]


def test_the_log_tells_what_was_done(finetuned: Ran) -> None:
    log = (finetuned.folder / "log.txt").read_text()
    for words in (
        "finetune tiny-cells",
        str(finetuned.stage.key),
        "epoch 0: train loss",
        "epoch 1: train loss",
        "done",
    ):
        assert words in log


def test_a_committed_stage_is_not_done_again(finetuned: Ran, bench: Bench) -> None:
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in finetuned.folder.iterdir()}
    assert list(run_stage(finetuned.stage, finetuned.study, RuntimeContext({}, {}))) == []
    assert {f.name: (f.stat().st_mtime_ns, f.read_bytes()) for f in finetuned.folder.iterdir()} == before


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_weights_are_dropped_by_the_rule_that_says_so(bench: Bench, tmp_path: Path, kind: str) -> None:
    runtime = RuntimeContext(bench.runtime.data, {}, keep_weights="pretrain")
    ran = run(bench.stage(kind, recipe={"epochs": 1}), bench.study(tmp_path), runtime)
    kept = kind == "pretrain"
    assert ("weights.safetensors" in ran.result["digests"]) == (ran.folder / "weights.safetensors").exists() == kept
    assert ran.result["weights"] == ("kept" if kept else "dropped: keep_weights is pretrain")
