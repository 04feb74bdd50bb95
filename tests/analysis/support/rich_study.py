"""What training leaves besides predictions, added to the small study: histories, range tests, explanations."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image as Picture

from analysis.explain.records.records import CheckSummary, Explained, ExplainedImage, FigureFiles
from trainables.lr_range.suggestion import SuggestedRate, choose
from trainables.specs import Ramp, Stage
from trainables.store.study import StageFolder

EPOCHS = 8
RAMP = Ramp(start=1e-4, end=0.1, steps=60, fallback=0.01)


def enrich(small: Any) -> None:
    """Add everything."""
    add_histories(small)
    add_range_tests(small)
    add_explanation(small)


def add_histories(small: Any) -> None:
    for number, folder in enumerate(small.study.folders()):
        if folder.stage()["kind"] in ("finetune", "pretrain") and folder.result() is not None:
            add_history(folder, np.random.default_rng(number))


def add_history(folder: StageFolder, rng: np.random.Generator) -> None:
    rows = []
    for epoch in range(EPOCHS):
        for split, worse in (("train", 0.0), ("val", 0.1)):
            loss = 1.6 * 0.75**epoch + worse + 0.03 * rng.random()
            rows.append({"epoch": epoch, "split": split, "loss": loss, "f1_macro": max(0.0, 0.9 - loss / 2)})
    digest = folder.files.write_table("history.parquet", pa.Table.from_pylist(rows))
    result = folder.result() or {}
    digests = {**result["digests"], "history.parquet": digest}
    folder.commit({**result, "selected_epoch": EPOCHS - 2, "digests": digests})


def add_range_tests(small: Any) -> None:
    """One with a clear minimum and one without, each of its own fold."""
    steps = np.arange(RAMP.steps)
    falling = 1.5 - np.exp(-(((steps - 38) / 14.0) ** 2)) + np.exp((steps - 58) / 2.0)
    flat = np.full(RAMP.steps, 1.4)
    plan = small.plan
    for fold, losses in enumerate((falling, flat)):
        stage = range_stage(small, fold)
        write_range_test(small, stage, losses)
        fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed", "upstream")
        plan["stages"].append({field: getattr(stage, field) for field in fields})
    (small.root / "plan.json").write_text(json.dumps(plan))


def range_stage(small: Any, fold: int) -> Stage:
    folder = StageFolder(small.study.storage, small.folder("resnet18-Random-f0-r0.02").name)
    like = Stage.from_document(folder.stage())
    name = f"resnet18-Random-f{fold}-range"
    return like.model_copy(update={"kind": "lr_range", "name": name, "fold": fold, "learning_rate": None, "ramp": RAMP})


def write_range_test(small: Any, stage: Stage, losses: np.ndarray) -> SuggestedRate:
    rates = np.geomspace(RAMP.start, RAMP.end, RAMP.steps)
    choice = choose(rates, losses, RAMP)
    noise = 0.05 * np.random.default_rng(1).standard_normal(len(losses))
    table = pa.table({"learning_rate": rates, "loss": losses + noise, "smoothed_loss": losses})
    folder = small.study.folder(stage)
    folder.begin(stage)
    digest = folder.files.write_table("curve.parquet", table)
    result = {"status": "done", "key": stage.key, "learning_rate": choice.learning_rate, "choice": choice.document()}
    folder.commit({**result, "digests": {"curve.parquet": digest}})
    return choice


def add_explanation(small: Any, **changed: Any) -> Explained:
    folder = StageFolder(small.study.storage, small.folder("resnet18-Random-f0-r0.02").name)
    key = str((folder.result() or {})["key"])
    name = f"gradcam-resnet18-Random-{key[:8]}"
    explained = Explained(
        architecture="resnet18",
        scenario="Random",
        stage="resnet18-Random-f0-r0.02",
        key=key,
        fold=0,
        val_f1_macro=0.5,
        layer="layer4",
        grid=(7, 7),
        edge=224,
        guided="guided back-propagation through ReLU",
        figures=tuple(_drawn(small, f"{name}-{place:02d}", label) for place, label in enumerate(small.plan["classes"])),
        checks=(CheckSummary(check="deletion AUC", map="Grad-CAM", mean=0.25, sd=0.1, images=4, undefined=0),),
        notes=("A map has 7 × 7 places.",),
    ).model_copy(update=changed)
    small.study.storage.write(f"report/figures/{name}.json", explained.model_dump_json().encode())
    return explained


def _drawn(small: Any, name: str, label: str) -> FigureFiles:
    small.study.storage.write(f"report/figures/{name}.png", png())
    small.study.storage.write(f"report/figures/{name}.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    one = ExplainedImage(
        image_id=f"{label}/1.jpg", label=label, explained=label, probability=0.9, why="confident and right"
    )
    return FigureFiles(
        title=f"test images of {label}",
        svg=f"{name}.svg",
        png=f"{name}.png",
        caption=f"Maps of {label}.",
        images=(one,),
    )


def png() -> bytes:
    stream = io.BytesIO()
    Picture.fromarray(np.random.default_rng(0).integers(0, 255, (60, 240, 3), dtype=np.uint8)).save(stream, "png")
    return stream.getvalue()
