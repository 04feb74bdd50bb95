"""Predictions on images from outside the study as a table, and their scores where they have labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Row, Table
from analysis.inference.ensemble import EnsemblePrediction
from analysis.results.calibration import BINS
from trainables.training.metrics import MEASURES, class_scores, confusion

HEADINGS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "mcc": "MCC"}


@dataclass(frozen=True)
class ExternalScores:
    """Scores of the labelled images.

    Attributes:
        table: one row a class.
        metrics: flat: accuracy, macro scores over all classes and over those present, ECE, Brier score.
    """

    table: Table
    metrics: dict[str, float]
    classes: int
    present: int
    images: int

    @property
    def sentence(self) -> str:
        """The scores in a sentence."""
        found = self.metrics
        return (
            f"{self.images} labelled images of {self.present} of {self.classes} classes: accuracy {found['accuracy']:.3f}, "
            f"macro F1 {found['f1_macro_present']:.3f} over the classes present ({found['f1_macro']:.3f} over all, absent "
            f"ones counting 0), ECE {found['ece']:.3f}, Brier score {found['brier']:.3f}."
        )

    def document(self) -> dict[str, Any]:
        """Return metrics and scores of each class as plain values."""
        return {**self.metrics, "classes": [dict(row.values) for row in self.table.rows]}


def table_of(classes: Sequence[str], said: EnsemblePrediction) -> pa.Table:
    """Return one row an image: image_id, label, predicted, confidence, and a probability for each class."""
    best = said.probabilities.argmax(axis=1)
    columns: dict[str, Any] = {
        "image_id": pa.array([image.image_id for image in said.images], pa.string()),
        "label": pa.array([None if i.label is None else classes[i.label] for i in said.images], pa.string()),
        "predicted": pa.array([classes[place] for place in best.tolist()], pa.string()),
        "confidence": said.probabilities.max(axis=1),
    }
    columns |= {f"p_{name}": said.probabilities[:, place] for place, name in enumerate(classes)}
    return pa.table(columns)


def scores_of(classes: Sequence[str], said: EnsemblePrediction) -> ExternalScores:
    """Score the images that have a label."""
    rows = [place for place, image in enumerate(said.images) if image.label is not None]
    labels = np.array([said.images[place].label for place in rows], np.int64)
    probabilities = said.probabilities[rows]
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    matrix = confusion(labels, predicted, len(classes))
    found = class_scores(matrix)
    present = found.support > 0
    metrics = {"accuracy": float((labels == predicted).mean())}
    for measure in MEASURES:
        of_classes = getattr(found, measure)
        metrics[f"{measure}_macro"] = float(of_classes.mean())
        metrics[f"{measure}_macro_present"] = float(of_classes[present].mean())
    metrics |= _calibrated(probabilities, labels)
    by_class: list[dict[str, Value]] = []
    for place, name in enumerate(classes):
        values: dict[str, Value] = {measure: float(getattr(found, measure)[place]) for measure in MEASURES}
        by_class.append({"class": name, "support": int(found.support[place]), **values})
    table = Table(
        name="predict",
        title="Scores on another folder",
        columns=(
            *(Column("class", "Class"), Column("support", "Support", "count")),
            *(Column(measure, HEADINGS[measure], "score") for measure in MEASURES),
        ),
        rows=tuple(Row(values) for values in by_class),
    )
    return ExternalScores(table, metrics, len(classes), int(present.sum()), len(rows))


def _calibrated(probabilities: np.ndarray[Any, np.dtype[np.float64]], labels: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return ECE (Guo et al. 2017) and Brier score of probabilities: a mean of softmax has no logits."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.bincount(place, weights=right - confidence, minlength=BINS)
    truth = np.eye(probabilities.shape[1])[labels]
    brier = float(((probabilities - truth) ** 2).sum(axis=1).mean())
    return {"ece": float(np.abs(gap).sum() / len(labels)), "brier": brier}
