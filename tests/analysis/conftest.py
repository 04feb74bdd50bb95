"""A small finished study, written through the same interface as the real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData, StageWeights
from trainables.store.storage import Storage
from trainables.store.study import SELECTED_ON, StageFolder, Study, split_digest
from trainables.training.metrics import confusion, summary

CLASSES = ("ABE", "EOS", "LYT", "MON")
ABSENT, NEVER = 0, 3  # ABE is in no test part of fold 2, and MON is never predicted
FOLDS, RATES = (0, 1, 2), (0.01, 0.02)
ARCHITECTURES, SCENARIOS = ("resnet18", "vit_b_32"), ("Random", "PCam")
GRID = {
    "scenarios": {"Random": {"start": "random", "pretrain": []}, "PCam": {"start": "random", "pretrain": ["pcam"]}},
    "axes": {"learning_rate": list(RATES)},
    "pretrain": {"learning_rate": 0.1},
}


@dataclass(frozen=True)
class Small:
    """A study on disk, with what a test needs to find and spoil its parts."""

    root: Path

    @property
    def study(self) -> Study:
        return Study.open(str(self.root))

    @property
    def plan(self) -> dict[str, Any]:
        return json.loads((self.root / "plan.json").read_text())

    def folder(self, name: str) -> Path:
        """Return the folder of the stage of a name."""
        (found,) = (self.root / "stages").glob(f"*-{name}-" + "?" * 16)
        return found

    def edit(self, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change a JSON file by hand."""
        document = json.loads((self.root / file).read_text())
        change(document)
        (self.root / file).write_text(json.dumps(document))

    def edit_result(self, name: str, **fields: Any) -> None:
        self.edit(f"stages/{self.folder(name).name}/result.json", lambda result: result.update(fields))

    def predictions(self, name: str) -> pa.Table:
        return pq.read_table(self.folder(name) / "predictions.parquet")

    def replace_predictions(self, name: str, table: pa.Table) -> None:
        """Write other predictions, with a digest that fits them."""
        folder = StageFolder(self.study.storage, self.folder(name).name)
        digest = folder.files.write_table("predictions.parquet", table)
        self.edit_result(name, digests={"predictions.parquet": digest})

    def fail(self, name: str, error: str, message: str) -> None:
        """Take a result away and leave a failure."""
        (self.folder(name) / "result.json").unlink()
        (self.folder(name) / "failure.json").write_text(json.dumps({"class": error, "message": message}))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The finished study. Not to be changed: see ``small``."""
    root = tmp_path_factory.mktemp("studies") / "small"
    write_study(Study(Storage(root)))
    return Small(root)


@pytest.fixture
def small(finished: Small, tmp_path: Path) -> Small:
    """A copy of the finished study, to be changed."""
    return Small(Path(shutil.copytree(finished.root, tmp_path / "small")))


HOSTILE = ("<b>'\"&</b>", "</script><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "`${1}`]]>-->")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    """A finished study whose classes, images, name and errors try to be markup."""
    monkeypatch.setitem(globals(), "CLASSES", HOSTILE)
    hostile = Small(tmp_path / "hostile")
    write_study(Study(Storage(hostile.root)))
    for file, field in (("study.json", "name"), ("study.json", "target"), ("plan.json", "target")):
        hostile.edit(file, lambda document, field=field: document.update({field: HOSTILE[1]}))  # type: ignore[misc]
    hostile.study.write_problems([{"data_set": HOSTILE[0], "image_id": HOSTILE[1], "what": HOSTILE[2]}])
    hostile.fail("vit_b_32-PCam-f0-r0.02", HOSTILE[1], HOSTILE[0])
    return hostile


def write_study(study: Study) -> None:
    split = make_split()
    digest = split_digest(split)
    study.write_split(digest, split)
    header = {"name": "small", "uid": "u1", "target": "cells", "fingerprint": "f1", "split": digest}
    study.storage.write_json("study.json", header)
    study.storage.write("grid.yaml", yaml.safe_dump(GRID).encode())
    study.write_problems([{"data_set": "cells", "image_id": "MON/9.jpg", "what": "undecodable"}])
    stages = []
    for architecture in ARCHITECTURES:
        pretrain = make_stage("pretrain", architecture, "PCam", None, 0.1, None, None)
        write_pretrained(study, pretrain)
        stages.append(pretrain)
        for scenario in SCENARIOS:
            for fold in FOLDS:
                for rate in RATES:
                    upstream = pretrain.key if scenario == "PCam" else None
                    stages.append(make_stage("finetune", architecture, scenario, fold, rate, digest, upstream))
    for number, stage in enumerate(stages):
        if stage.kind == "finetune":
            write_cell(study, stage, split, np.random.default_rng(number))
    study.storage.write_json("plan.json", make_plan(digest, stages))


def make_split() -> pa.Table:
    labels = np.repeat(np.arange(len(CLASSES)), 36)
    numbers = np.tile(np.arange(36), len(CLASSES))
    test_fold = np.where(labels == ABSENT, numbers % 2, numbers % 3)
    part = [np.where(test_fold == fold, "test", np.where(numbers % 5 == fold, "val", "train")) for fold in FOLDS]
    ids = [f"{CLASSES[label]}/{number}.jpg" for label, number in zip(labels, numbers, strict=True)]
    return pa.table(
        {
            "fold": np.repeat(FOLDS, len(labels)).astype(np.int64),
            "image_id": ids * len(FOLDS),
            "label": np.tile(labels, len(FOLDS)).astype(np.int64),
            "group": pa.nulls(len(labels) * len(FOLDS), pa.string()),
            "split": np.concatenate(part).tolist(),
        }
    )


def make_stage(
    kind: Any,
    architecture: str,
    scenario: str,
    fold: int | None,
    rate: float,
    split: str | None,
    upstream: str | None,
) -> Stage:
    return Stage(
        kind=kind,
        name=f"{architecture}-{scenario}-f{fold}-r{rate:g}" if kind == "finetune" else f"{architecture}-{scenario}",
        architecture=architecture,
        scenario=scenario,
        fold=fold,
        learning_rate=rate,
        seed=0,
        split=split or "none",
        upstream=() if upstream is None else (upstream,),
        model=ModelSpec(model=f"torchvision/{architecture}"),
        initial=RandomWeights() if upstream is None else StageWeights(key=upstream),
        data=StageData(name="cells", fingerprint="f1", classes=CLASSES, size=None),
        recipe=Recipe(),
    )


def write_pretrained(study: Study, stage: Stage) -> None:
    study.folder(stage).begin(stage)
    digest = study.folder(stage).files.write("weights.safetensors", b"weights")
    study.folder(stage).commit({"status": "done", "digests": {"weights.safetensors": digest}})


def write_cell(study: Study, stage: Stage, split: pa.Table, rng: np.random.Generator) -> None:
    folder = study.folder(stage)
    folder.begin(stage)
    table = make_predictions(split, stage.fold, rng)
    digest = folder.files.write_table("predictions.parquet", table)
    upstream = {key: _weights_of(study, key) for key in stage.upstream}
    folder.commit(
        {
            "status": "done",
            "key": stage.key,
            "selected_on": SELECTED_ON,
            "selected_epoch": 7,
            "learning_rate": stage.learning_rate,
            "classes": list(CLASSES),
            "metrics": metrics(table),
            "digests": {"predictions.parquet": digest},
            "upstream_digests": upstream,
            "weights": "kept",
            "environment": {
                "versions": {"torch": "2.14"},
                "device": "cpu",
                "node": "n1",
                "precision": "float32",
            },
            "seconds": 12.3,
        }
    )


def make_predictions(split: pa.Table, fold: int | None, rng: np.random.Generator) -> pa.Table:
    rows = [row for row in split.to_pylist() if row["fold"] == fold and row["split"] != "train"]
    rng.shuffle(rows)
    labels = np.array([row["label"] for row in rows])
    logits = rng.normal(size=(len(rows), len(CLASSES))) + 1.5 * np.eye(len(CLASSES))[labels]
    logits[:, NEVER] -= 20
    flat = pa.array(logits.astype(np.float32).reshape(-1), pa.float32())
    return pa.table(
        {
            "image_id": [row["image_id"] for row in rows],
            "split": [row["split"] for row in rows],
            "label": labels.astype(np.int64),
            "logits": pa.FixedSizeListArray.from_arrays(flat, len(CLASSES)),
        }
    )


def metrics(table: pa.Table) -> dict[str, float]:
    """Return the metrics of a prediction table, as a trial writes them."""
    found = {"val_loss": 0.5}
    for part in ("val", "test"):
        rows = [row for row in table.to_pylist() if row["split"] == part]
        labels = np.array([row["label"] for row in rows])
        predicted = np.array([np.argmax(row["logits"]) for row in rows])
        scores = summary(confusion(labels, predicted, len(CLASSES)))
        found |= {f"{part}_{name}": value for name, value in scores.items()}
    return found


def make_plan(digest: str, stages: list[Stage]) -> dict[str, Any]:
    fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed", "upstream")
    return {
        "grid": "smoke",
        "study": "small",
        "target": "cells",
        "classes": list(CLASSES),
        "split": digest,
        "axes": {
            "architecture": list(ARCHITECTURES),
            "scenario": list(SCENARIOS),
            "fold": list(FOLDS),
            "learning_rate": list(RATES),
            "seed": [0],
        },
        "stages": [{field: getattr(stage, field) for field in fields} for stage in stages],
    }


def _weights_of(study: Study, key: str) -> str:
    result = study.find(key).result() or {}
    return str(result["digests"]["weights.safetensors"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study that was really trained. Not to be changed: see ``own_trained``."""
    from tests.analysis.support.trained_study import make  # imports torch, which most tests here do without

    return make(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def own_trained(trained: Any, tmp_path: Path) -> Any:
    """A copy of the trained study, to be changed."""
    return replace(trained, root=Path(shutil.copytree(trained.root, tmp_path / "study")))
