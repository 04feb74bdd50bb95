"""A made-up study of the real one's size: folds × images × classes, written through the study's own interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.store.study import SELECTED_ON, Study, split_digest
from trainables.training.metrics import confusion, summary

ARCHITECTURES = ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")
SKILL = {"Random": 1.0, "ImageNet": 2.0, "PCam": 1.6, "CD": 1.5, "ImageNet+PCam": 2.1, "ImageNet+CD": 2.2}
"""How far the logit of the true class is raised: what makes one scenario better than another."""
CLASSES = (
    *("ABE", "ART", "BAS", "BLA", "EBO", "EOS", "FGC", "HAC", "KSC", "LYI", "LYT"),
    *("MMZ", "MON", "MYB", "NGB", "NGS", "NIF", "OTH", "PEB", "PLM", "PMO"),
)
COUNTS = (
    *(8, 19630, 441, 11973, 27395, 5883, 47, 409, 42, 65, 26242),
    *(3055, 4040, 6557, 9968, 29424, 3538, 294, 2740, 7629, 11994),
)
PATIENTS = 945
EPOCHS = 20
GRID = """
target: bone_marrow
scenarios:
  Random: {start: random, pretrain: []}
  ImageNet: {start: imagenet, pretrain: []}
  PCam: {start: random, pretrain: [pcam]}
  CD: {start: random, pretrain: [cats_vs_dogs]}
  ImageNet+PCam: {start: imagenet, pretrain: [pcam]}
  ImageNet+CD: {start: imagenet, pretrain: [cats_vs_dogs]}
axes:
  learning_rate: 0.01
"""


def write_full_size(
    study: Study,
    scale: float = 1.0,
    folds: int = 5,
    architectures: Sequence[str] = ARCHITECTURES,
    grouped: bool = False,
) -> None:
    """Write the study; at ``scale`` 1 it has 171,374 images, of which a fold tests 34,275."""
    labels = np.repeat(np.arange(len(CLASSES)), [max(folds, round(count * scale)) for count in COUNTS])
    split = make_split(labels, folds, grouped)
    digest = split_digest(split)
    study.write_split(digest, split)
    header = {"name": "full", "uid": "u", "target": "bone_marrow", "fingerprint": "f", "split": digest}
    study.storage.write_json("study.json", header)
    study.storage.write("grid.yaml", GRID.encode())
    parts = np.array(split["split"].to_pylist()).reshape(folds, -1)
    ids = split["image_id"].slice(0, len(labels)).combine_chunks()
    stages = [make_stage(a, s, f, digest) for a in architectures for s in SKILL for f in range(folds)]
    for stage in stages:
        write_cell(study, stage, ids, labels, parts[stage.fold or 0])
    fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed", "upstream")
    plan = {"grid": "full", "study": "full", "target": "bone_marrow", "classes": list(CLASSES), "split": digest}
    axes = {"architecture": list(architectures), "scenario": list(SKILL)}
    rows = [{field: getattr(stage, field) for field in fields} for stage in stages]
    study.storage.write_json("plan.json", {**plan, "axes": axes, "stages": rows})


def make_split(labels: NDArray[np.int64], folds: int, grouped: bool) -> pa.Table:
    numbers = np.concatenate([np.arange(count) for count in np.bincount(labels)])
    names = [
        f"{CLASSES[label]}/{CLASSES[label]}_{number:05d}.jpg" for label, number in zip(labels, numbers, strict=True)
    ]
    # A patient is tested in one fold: which fold depends on the patient's number alone.
    unit = numbers % PATIENTS
    parts = [
        np.where(unit % folds == f, "test", np.where(unit // folds % folds == f, "val", "train")) for f in range(folds)
    ]
    groups = [f"patient-{number}" if grouped else None for number in unit]
    return pa.table(
        {
            "fold": np.repeat(np.arange(folds), len(labels)).astype(np.int64),
            "image_id": names * folds,
            "label": np.tile(labels, folds).astype(np.int64),
            "group": pa.array(groups * folds, pa.string()),
            "split": np.concatenate(parts).tolist(),
        }
    )


def make_stage(architecture: str, scenario: str, fold: int, split: str) -> Stage:
    return Stage(
        kind="finetune",
        name=f"{architecture}-{scenario}-fold{fold}".replace("+", "-"),
        architecture=architecture,
        scenario=scenario,
        fold=fold,
        learning_rate=0.01,
        seed=0,
        split=split,
        upstream=(),
        model=ModelSpec(model=f"torchvision/{architecture}", options={"scenario": scenario}),
        initial=RandomWeights(),
        data=StageData(name="bone_marrow", fingerprint="f", classes=CLASSES, size=None),
        recipe=Recipe(),
    )


def write_cell(study: Study, stage: Stage, ids: pa.Array, labels: NDArray[np.int64], parts: NDArray[np.str_]) -> None:
    rows = np.flatnonzero(parts != "train")
    here, part = labels[rows], parts[rows]
    rng = np.random.default_rng(int(str(stage.key)[:8], 16))
    logits = rng.standard_normal((len(rows), len(CLASSES)), dtype=np.float32)
    logits[np.arange(len(rows)), here] += SKILL[stage.scenario]
    metrics: dict[str, float] = {}
    for name in ("val", "test"):
        of_part = part == name
        scores = summary(confusion(here[of_part], logits[of_part].argmax(axis=1), len(CLASSES)))
        metrics |= {f"{name}_{measure}": value for measure, value in scores.items()}
    table = pa.table(
        {
            "image_id": ids.take(pa.array(rows)),
            "split": part.tolist(),
            "label": here,
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1)), len(CLASSES)),
        }
    )
    folder = study.folder(stage)
    folder.begin(stage)
    digests = {"predictions.parquet": folder.files.write_table("predictions.parquet", table)}
    digests["history.parquet"] = folder.files.write_table("history.parquet", make_history(rng))
    folder.commit(
        {
            "status": "done",
            "key": stage.key,
            "selected_on": SELECTED_ON,
            "learning_rate": stage.learning_rate,
            "classes": list(CLASSES),
            "metrics": metrics,
            "digests": digests,
            "selected_epoch": EPOCHS - 1,
            "environment": {"device": "cpu", "precision": "float32", "world_size": 1},
            "seconds": 3600.0,
        }
    )


def make_history(rng: np.random.Generator) -> pa.Table:
    falling = 3 * 0.8 ** np.repeat(np.arange(EPOCHS), 2)
    return pa.table(
        {
            "epoch": np.repeat(np.arange(EPOCHS), 2),
            "split": ["train", "val"] * EPOCHS,
            "loss": falling + 0.1 * rng.random(2 * EPOCHS),
            "f1_macro": 0.8 - falling / 4,
        }
    )
