"""Verify the result of a cell before its scores count: digests, split, selection rule, recomputed metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.results.calibration import Calibration, calibration
from analysis.results.plan_file import PlannedStage, one_line
from analysis.results.predictions import read_predictions
from analysis.results.split import PARTS, StoredSplit
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.selection import Candidate
from trainables.store.study import SELECTED_ON, StageFolder
from trainables.training.metrics import confusion, summary

TOLERANCE = 1e-9
"""Largest accepted difference between a stored score and the recomputed one: both are float64 sums of counts."""


class StageResult(BaseModel):
    """``result.json`` as far as analysis reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["done"]
    key: str
    selected_on: str
    selected_epoch: int | None = None
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    classes: tuple[str, ...]
    metrics: dict[str, float | None]
    digests: dict[str, str]
    upstream_digests: dict[str, str] = {}
    environment: dict[str, Any] = {}
    seconds: float | None = None


@dataclass(frozen=True)
class Cell:
    """A verified cell. Logits stay on disk; counts of them are kept.

    Attributes:
        planned: the cell in the plan, with the labels of the tables.
        stage: its specification.
        result: its result.
        folder: its folder.
        confusion: confusion matrices of ``val`` and ``test``, shape (classes, classes), rows true, columns predicted.
        predicted: predicted class of each test image, in the order of the split, shape (images,).
        calibration: confidences and hits on the test images.
    """

    planned: PlannedStage
    stage: Stage
    result: StageResult
    folder: StageFolder
    confusion: Mapping[str, NDArray[np.int64]]
    predicted: NDArray[np.int32]
    calibration: Calibration

    @cached_property
    def candidate(self) -> Candidate:
        """The cell as the selection sees it: settings and val score, recomputed from the logits."""
        return Candidate(
            architecture=self.planned.architecture,
            scenario=self.planned.scenario,
            fold=fold_of(self.stage),
            seed=self.planned.seed,
            key=self.result.key,
            learning_rate=self.result.learning_rate,
            val_f1_macro=summary(self.confusion["val"])["f1_macro"],
        )


def verify(planned: PlannedStage, folder: StageFolder, split: StoredSplit, classes: tuple[str, ...]) -> Cell:
    """Check the result of a planned cell and recompute its scores.

    Args:
        planned: the cell in the plan.
        folder: its folder.
        split: of the study.
        classes: names of the classes, as planned.

    Raises:
        ValueError: if a check fails; the message names it.
        OSError: if a file cannot be read.
    """
    stage = _stage(planned, folder)
    result, document = _result(folder)
    _check_identity(stage, result, split, classes)
    content = folder.read_verified(layout.PREDICTIONS, document)
    parts = read_predictions(content, len(classes))
    matrices, in_order = {}, np.zeros(0, np.int32)
    for name in PARTS:
        place = parts[name].check(name, split.part(fold_of(stage), name))
        predicted = parts[name].logits.argmax(axis=1).astype(np.int64)
        matrices[name] = confusion(parts[name].labels, predicted, len(classes))
        _check_metrics(name, result, summary(matrices[name]))
        in_order = np.empty(len(place), np.int32)
        in_order[place] = predicted
    calibrated = calibration(parts["test"].logits, parts["test"].labels)
    return Cell(planned, stage, result, folder, matrices, in_order, calibrated)


def fold_of(stage: Stage) -> int:
    """Return the fold of a cell.

    Raises:
        ValueError: if it has none.
    """
    if stage.fold is None:
        raise ValueError(f"{layout.STAGE} has no fold, so it is no cell of a cross-validation")
    return stage.fold


def _stage(planned: PlannedStage, folder: StageFolder) -> Stage:
    try:
        stage = Stage.from_document(folder.stage())
    except FileNotFoundError as error:
        raise ValueError(f"{layout.STAGE} is missing in {folder.path()}") from error
    except ValueError as error:
        raise ValueError(f"{layout.STAGE} is no valid specification: {one_line(error)}") from error
    if stage.key != planned.key:
        raise ValueError(f"{layout.STAGE} is of another stage: its key is {stage.key}, the plan's {planned.key}")
    return stage


def _result(folder: StageFolder) -> tuple[StageResult, dict[str, Any]]:
    document = folder.result()
    if document is None:  # a stage counts as done only if the file exists
        raise ValueError(f"{layout.RESULT} is not a JSON object: it was torn or changed")
    try:
        return StageResult.model_validate(document), document
    except ValidationError as error:
        raise ValueError(f"{layout.RESULT} is not as expected: {one_line(error)}") from error


def _check_identity(stage: Stage, result: StageResult, split: StoredSplit, classes: tuple[str, ...]) -> None:
    if result.key != stage.key:
        raise ValueError(f"{layout.RESULT} is of another stage: its key is {result.key}")
    if result.selected_on != SELECTED_ON:
        raise ValueError(f"{layout.RESULT}: selected_on is {result.selected_on!r}, only {SELECTED_ON!r} counts")
    if stage.split != split.digest:
        raise ValueError(f"{layout.STAGE}: split is {stage.split}, the study's is {split.digest}")
    if not result.classes == stage.data.classes == classes:
        raise ValueError(f"{layout.RESULT}: classes are {list(result.classes)}, the plan's {list(classes)}")


def _check_metrics(name: str, result: StageResult, recomputed: Mapping[str, float]) -> None:
    for measure, value in recomputed.items():
        metric = f"{name}_{measure}"
        stored = result.metrics.get(metric, value)
        # Negated, so that NaN (every comparison false) is refused too.
        if stored is None or not abs(stored - value) <= TOLERANCE:
            raise ValueError(f"{layout.RESULT}: {metric} is {stored}, but the logits give {value:.12g}")
