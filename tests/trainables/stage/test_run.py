"""Tests of whole stages: a small real study on generated cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainables.support.stage_bench import MODEL, Bench, Ran, run, split_rows
from trainables.errors import DamagedError, StageError, UserError
from trainables.models.backbones import build
from trainables.runtime import RuntimeContext
from trainables.specs import FileWeights, ModelSpec, Stage, StageWeights
from trainables.stage.run import run_stage
from trainables.store.study import split_digest
from trainables.training.metrics import confusion, summary

CONTRACT = {"stage.json", "result.json", "history.parquet", "predictions.parquet", "weights.safetensors", "log.txt"}


@pytest.fixture(scope="module")
def finetuned(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A cell from random weights. Not to be changed."""
    return run(bench.stage(), bench.study(tmp_path_factory.mktemp("my study")), bench.runtime)


@pytest.fixture(scope="module")
def pretrained(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A pre-training. Not to be changed; other stages may be run in its study."""
    return run(bench.stage("pretrain"), bench.study(tmp_path_factory.mktemp("studies")), bench.runtime)


# What a finished stage leaves


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
    assert [told.shown["val_f1_macro"] for told in finetuned.progress] == [row["f1_macro"] for row in val]


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


# Repeatable, and blind to the test part


def test_the_same_stage_in_another_study_ends_with_the_same_bits(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    torch.manual_seed(12345)  # whatever the process did before
    again = run(bench.stage(), bench.study(tmp_path), bench.runtime)
    assert again.result["digests"]["weights.safetensors"] == finetuned.result["digests"]["weights.safetensors"]
    assert again.result["digests"]["predictions.parquet"] == finetuned.result["digests"]["predictions.parquet"]
    assert again.result["metrics"] == finetuned.result["metrics"]


def test_another_seed_or_fold_ends_with_other_bits(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    others = [run(bench.stage(**change), study, bench.runtime) for change in ({"seed": 1}, {"fold": 2})]
    digests = {ran.result["digests"]["weights.safetensors"] for ran in (finetuned, *others)}
    assert len(digests) == 3


def test_the_test_part_changes_nothing_in_training_or_selection(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    """With half of the test images away, and the others called otherwise, all but the test scores stay."""
    tested = list(split_rows(bench.cell_split, 1, "test"))
    keep = [row for row in bench.cell_split.table.to_pylist() if row["image_id"] not in tested[::2]]
    table = pa.Table.from_pylist(keep, schema=bench.cell_split.table.schema)
    study, digest = bench.study(tmp_path), split_digest(table)
    study.write_split(digest, table)
    other = run(bench.stage(split=digest), study, bench.runtime)
    assert other.result["digests"]["weights.safetensors"] == finetuned.result["digests"]["weights.safetensors"]
    assert other.result["selected_epoch"] == finetuned.result["selected_epoch"]
    shown = [f"val_{name}" for name in ("loss", "accuracy", "f1_macro")]
    assert [other.result["metrics"][name] for name in shown] == [finetuned.result["metrics"][name] for name in shown]
    assert other.result["metrics"]["test_loss"] != finetuned.result["metrics"]["test_loss"]


def test_a_prepared_set_in_another_order_gives_the_same_parts(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    """A split names images; where they lie in the packed file is another matter."""
    rows = bench.cell_split.table.to_pylist()
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    table = pa.Table.from_pylist(shuffled, schema=bench.cell_split.table.schema)
    study = bench.study(tmp_path)
    study.write_split(split_digest(table), table)
    other = run(bench.stage(split=split_digest(table), recipe={"epochs": 1}), study, bench.runtime)
    found = {row["image_id"]: (row["split"], row["label"]) for row in other.table("predictions.parquet").to_pylist()}
    expected = finetuned.table("predictions.parquet").to_pylist()
    assert found == {row["image_id"]: (row["split"], row["label"]) for row in expected}


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


# Upstream


def after(pretrained: Ran, bench: Bench, **fields: Any) -> Stage:
    """A cell that starts from a pre-training, and takes no step worth the name: its weights stay what it loaded."""
    key = str(pretrained.stage.key)
    recipe = {"epochs": 1, "weight_decay": 0.0} | fields.pop("recipe", {})
    start = {"upstream": (key,), "initial": StageWeights(key=key), "learning_rate": 1e-30, "recipe": recipe}
    return bench.stage(**(start | fields))


def test_a_cell_starts_from_its_upstream_backbone(bench: Bench, pretrained: Ran) -> None:
    ran = run(after(pretrained, bench), pretrained.study, bench.runtime)
    loaded, given = ran.weights, pretrained.weights
    trained = {name for name in given if not name.startswith("fc.") and "running" not in name and "num_b" not in name}
    assert len(trained) > 20
    assert all(torch.allclose(loaded[name], given[name], rtol=0, atol=1e-20) for name in trained)
    assert (loaded["fc.weight"].shape[0], given["fc.weight"].shape[0]) == (6, 2)
    digest = pretrained.result["digests"]["weights.safetensors"]
    assert ran.result["upstream_digests"] == {str(pretrained.stage.key): digest}


def test_the_head_of_a_started_cell_is_new_and_drawn_from_its_seed(bench: Bench, pretrained: Ran) -> None:
    heads = [run(after(pretrained, bench, seed=seed), pretrained.study, bench.runtime).weights for seed in (0, 1)]
    assert not torch.equal(heads[0]["fc.weight"], heads[1]["fc.weight"])


def test_a_missing_upstream_stage_is_named(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    stage, study = after(pretrained, bench), bench.study(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no stage of key {str(pretrained.stage.key)[:16]}"):
        run(stage, study, bench.runtime)
    failure = study.folder(stage).failure()
    assert failure is not None
    assert str(pretrained.stage.key)[:16] in failure["message"]


def test_an_upstream_stage_without_a_result_is_named(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    study.folder(pretrained.stage).begin(pretrained.stage)
    with pytest.raises(StageError, match=f"upstream stage {pretrained.stage.folder} has no result"):
        run(after(pretrained, bench), study, bench.runtime)


def test_upstream_weights_that_were_changed_are_refused(bench: Bench, pretrained: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    own = run(pretrained.stage, study, bench.runtime)
    file = own.folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(DamagedError, match=r"weights\.safetensors is not what the stage wrote") as caught:
        run(after(pretrained, bench), study, bench.runtime)
    assert caught.value.key == str(pretrained.stage.key)


def test_a_stage_that_failed_for_want_of_another_is_done_when_that_is(bench: Bench, tmp_path: Path) -> None:
    study, first = bench.study(tmp_path), bench.stage("pretrain", recipe={"epochs": 1})
    key = str(first.key)
    stage = bench.stage(upstream=(key,), initial=StageWeights(key=key), recipe={"epochs": 1})
    with pytest.raises(FileNotFoundError):
        run(stage, study, bench.runtime)
    assert study.folder(stage).failure() is not None
    run(first, study, bench.runtime)
    run(stage, study, bench.runtime)
    assert study.folder(stage).failure() is None
    assert study.states() == {key[:16]: "done", str(stage.key)[:16]: "done"}


# Weights from a file


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Published weights of the network: of 1000 classes."""
    torch.manual_seed(99)
    save_file(build(MODEL, 32, 1000).module.state_dict(), tmp_path / "published.safetensors")
    return tmp_path / "published.safetensors"


def from_file(bench: Bench, file: Path, **fields: Any) -> tuple[Stage, RuntimeContext]:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    start = FileWeights(name="imagenet", sha256=sha256)
    recipe = {"epochs": 1, "weight_decay": 0.0}
    stage = bench.stage(initial=start, learning_rate=1e-30, recipe=recipe, **fields)
    return stage, RuntimeContext(bench.runtime.data, {sha256: str(file)})


def test_a_cell_starts_from_a_file_of_weights(bench: Bench, weights_file: Path, tmp_path: Path) -> None:
    stage, runtime = from_file(bench, weights_file)
    ran = run(stage, bench.study(tmp_path / "study"), runtime)
    given = load_file(weights_file)
    assert torch.equal(ran.weights["conv1.0.weight"], given["conv1.0.weight"])
    assert ran.weights["fc.weight"].shape[0] == 6
    assert ran.result["upstream_digests"] == {}


def test_a_file_that_is_not_the_one_planned_is_refused(bench: Bench, weights_file: Path, tmp_path: Path) -> None:
    stage, runtime = from_file(bench, weights_file)
    weights_file.write_bytes(weights_file.read_bytes()[:-1] + b"\1")
    with pytest.raises(StageError, match=r"published\.safetensors is not the file of weights that was planned"):
        run(stage, bench.study(tmp_path / "study"), runtime)


def test_weights_of_another_architecture_are_refused(bench: Bench, tmp_path: Path) -> None:
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    stage, runtime = from_file(bench, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other\.safetensors do not fit the architecture: .*missing"):
        run(stage, bench.study(tmp_path / "study"), runtime)


# What goes wrong


def test_a_loss_that_is_not_finite_fails_the_stage_with_a_trace(bench: Bench, tmp_path: Path) -> None:
    study, stage = bench.study(tmp_path), bench.stage(learning_rate=1e12)
    with pytest.raises(StageError, match="loss became"):
        list(run_stage(stage, study, bench.runtime, attempt=3))
    folder = study.folder(stage)
    failure = folder.failure()
    assert failure is not None
    assert failure["class"] == "StageError"
    assert failure["message"].startswith("the loss became")
    assert "1e+12" in failure["message"]
    assert "Traceback" in failure["traceback"]
    assert "in _train" in failure["traceback"]
    assert failure["attempts"] == 3
    assert folder.result() is None
    assert "failed: StageError: the loss became" in Path(folder.path("log.txt")).read_text()
    assert study.states() == {str(stage.key)[:16]: "failed"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda stage: {"data": stage.data.model_copy(update={"fingerprint": "0" * 64})},
            "fingerprint .*wants 0000000",
        ),
        (lambda stage: {"model": ModelSpec(model="timm/no_such_net")}, "cannot build timm/no_such_net"),
        (lambda stage: {"split": "0" * 64}, "splits/0000000"),
    ],
    ids=["other data", "unknown network", "missing split"],
)
def test_an_input_that_is_not_there_fails_the_stage_by_name(
    bench: Bench, tmp_path: Path, change: Callable[[Stage], dict[str, Any]], message: str
) -> None:
    study, stage = bench.study(tmp_path), bench.stage(**change(bench.stage()))
    with pytest.raises(Exception, match=message):
        run(stage, study, bench.runtime)
    failure = study.folder(stage).failure()
    assert failure is not None
    assert "Traceback" in failure["traceback"]
    assert study.folder(stage).stage()["key"] == stage.key


def test_a_stage_that_is_stopped_leaves_its_log_and_no_failure(bench: Bench, tmp_path: Path) -> None:
    study, stage = bench.study(tmp_path), bench.stage()
    running = run_stage(stage, study, bench.runtime)
    next(running)
    running.close()
    assert study.folder(stage).result() is study.folder(stage).failure() is None
    assert "epoch 0" in Path(study.folder(stage).path("log.txt")).read_text()
    assert study.states() == {}
