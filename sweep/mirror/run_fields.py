"""What a run says of its stage: group, tags, configuration, curves, summary."""

from __future__ import annotations

from typing import Any

from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import StageFolder

METRIC = "selection_score"
"""What the sweep is about: the val score by which rates are chosen. Cells alone have it, so that pre-training,
which is scored on other data, is in no parallel coordinates and no parameter importance."""
LONGEST = 128
"""Letters that W&B keeps of names and groups; of a tag it keeps half."""


def group_of(stage: Stage) -> str:
    """Return the group of a run: the cells whose folds are averaged share it."""
    return f"{stage.architecture}/{stage.scenario}"[:LONGEST]


def tags_of(fold: int | None, learning_rate: float | None) -> tuple[str, ...]:
    """Return the tags of a run."""
    tags = [] if fold is None else [f"fold{fold}"]
    return tuple(tags if learning_rate is None else [*tags, f"lr{learning_rate:g}"])


def config_of(stage: Stage, study: str, folder: str) -> dict[str, Any]:
    """Return the configuration, flat: the axes under the names of the sweep's parameters, then the recipe."""
    axes = {axis: getattr(stage, axis) for axis in ("architecture", "scenario", "fold", "learning_rate", "seed")}
    names = {"study": study, "kind": stage.kind, "key": stage.key, "stage_folder": folder, "data": stage.data.name}
    return {**stage.recipe.model_dump(mode="json"), "model": stage.model.model, **names, **axes}


def row_of(shown: dict[str, float]) -> dict[str, float]:
    """Return an epoch as it is logged."""
    return {**shown, "epoch": int(shown["epoch"])}


def rows_of(folder: StageFolder) -> dict[int, dict[str, float]]:
    """Return what a finished stage showed in each epoch, as it was streamed."""
    rows: dict[int, dict[str, float]] = {}
    for line in folder.files.read_table(layout.HISTORY).to_pylist():
        row = rows.setdefault(line["epoch"], {"epoch": line["epoch"]})
        row |= {f"{line['split']}_{name}": line[name] for name in ("loss", "accuracy", "f1_macro")}
        row |= {name: line[name] for name in ("learning_rate", "images_per_second", "seconds")}
    return rows


def summary_of(stage: Stage, result: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a finished stage, under plain names."""
    fields = {
        name: result.get(name) for name in ("learning_rate", "selected_epoch", "selected_on", "weights", "seconds")
    }
    choice = result.get("choice") or {}
    score = {METRIC: result["metrics"]["val_f1_macro"]} if stage.kind == "finetune" else {}
    rule = {"rule": choice["rule"]} if "rule" in choice else {}
    known = {name: value for name, value in fields.items() if value is not None}
    return {**result["metrics"], **known, **rule, **score, "state": "done"}
