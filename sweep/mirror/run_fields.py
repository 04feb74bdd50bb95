"""The fields of a stage's run: group, tags, configuration, metrics of an epoch, summary."""

from __future__ import annotations

from typing import Any

from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import StageFolder

METRIC = "selection_score"
"""Metric of the sweep: the val score by which candidates are selected. Only cells have it. Pre-training is scored on other
data and would distort parallel coordinates and parameter importance."""
MAX_NAME_CHARS = 128
"""Characters that W&B keeps of a name or group; of a tag it keeps half as many."""


def group_of(stage: Stage) -> str:
    """Return the group of a run. The cells whose folds are averaged share it."""
    return f"{stage.architecture}/{stage.scenario}"[:MAX_NAME_CHARS]


def tags_of(fold: int | None, learning_rate: float | None) -> tuple[str, ...]:
    """Return the tags of a run, e.g. ``("fold0", "lr0.001")``.

    Args:
        fold: from 0; None for a stage that has no fold.
        learning_rate: None while a range test has not found it.
    """
    tags = [] if fold is None else [f"fold{fold}"]
    return tuple(tags if learning_rate is None else [*tags, f"lr{learning_rate:g}"])


def config_of(stage: Stage, study: str, folder: str) -> dict[str, Any]:
    """Return the configuration of a run, flat: the axes under the names of the sweep's parameters, then the recipe.

    Args:
        stage: the stage.
        study: name of the study.
        folder: path of the stage's folder.
    """
    axes = {axis: getattr(stage, axis) for axis in ("architecture", "scenario", "fold", "learning_rate", "seed")}
    names = {"study": study, "kind": stage.kind, "key": stage.key, "stage_folder": folder, "data": stage.data.name}
    return {**stage.recipe.model_dump(mode="json"), "model": stage.model.model, **names, **axes}


def row_of(shown: dict[str, float]) -> dict[str, float]:
    """Return the metrics of an epoch as a row of the run's history."""
    return {**shown, "epoch": int(shown["epoch"])}


def rows_of(folder: StageFolder) -> dict[int, dict[str, float]]:
    """Return the rows of a finished stage, by epoch, equal to those that were logged while it ran.

    Raises:
        FileNotFoundError: if the stage has no history, as a range test.
    """
    rows: dict[int, dict[str, float]] = {}
    for line in folder.files.read_table(layout.HISTORY).to_pylist():
        row = rows.setdefault(line["epoch"], {"epoch": line["epoch"]})
        row |= {f"{line['split']}_{name}": line[name] for name in ("loss", "accuracy", "f1_macro")}
        row |= {name: line[name] for name in ("learning_rate", "images_per_second", "seconds")}
    return rows


def summary_of(stage: Stage, result: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a finished stage, under the names of ``result.json``.

    Args:
        stage: the stage.
        result: content of its ``result.json``.
    """
    fields = {
        name: result.get(name) for name in ("learning_rate", "selected_epoch", "selected_on", "weights", "seconds")
    }
    choice = result.get("choice") or {}
    score = {METRIC: result["metrics"]["val_f1_macro"]} if stage.kind == "finetune" else {}
    rule = {"rule": choice["rule"]} if "rule" in choice else {}
    known = {name: value for name, value in fields.items() if value is not None}
    return {**result["metrics"], **known, **rule, **score, "state": "done"}
