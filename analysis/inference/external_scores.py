"""Predictions for images from outside the study as a table, and their scores where the images have labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.formats.table import Column, Row, Table
from analysis.inference.ensemble import EnsemblePrediction
from analysis.results.calibration import calibration_of
from analysis.stats.class_averages import MEASURE_NAMES
from trainables.training.metrics import class_scores, confusion


@dataclass(frozen=True)
class ExternalScores:
    """Scores of the labelled images.

    Attributes:
        table: one row per class.
        metrics: accuracy, macro scores over all classes and over those present, ECE, Brier score.
        present: number of classes that occur among the labels.
        images: number of labelled images.
    """

    table: Table
    metrics: dict[str, float]
    present: int
    images: int

    @property
    def sentence(self) -> str:
        """The scores in a sentence."""
        found = self.metrics
        return (
            f"{self.images} labelled images of {self.present} of {len(self.table.rows)} classes: accuracy "
            f"{found['accuracy']:.3f}, macro F1 {found['f1_macro_present']:.3f} over the classes present "
            f"({found['f1_macro']:.3f} over all, absent ones counting 0), ECE {found['ece']:.3f}, Brier score "
            f"{found['brier']:.3f}."
        )

    def document(self) -> dict[str, Any]:
        """Return the metrics and the scores of each class as plain values."""
        return {**self.metrics, "classes": [dict(row.values) for row in self.table.rows]}


def prediction_table(classes: Sequence[str], prediction: EnsemblePrediction) -> pa.Table:
    """Return one row per image: image_id, label, predicted, confidence, and a probability ``p_CLASS`` per class.

    Args:
        classes: names, in the order of the probabilities.
        prediction: of the images.
    """
    probabilities, images = prediction.probabilities, prediction.images
    columns: dict[str, Any] = {
        "image_id": pa.array([image.image_id for image in images], pa.string()),
        "label": pa.array([None if one.label is None else classes[one.label] for one in images], pa.string()),
        "predicted": pa.array([classes[place] for place in probabilities.argmax(axis=1).tolist()], pa.string()),
        "confidence": probabilities.max(axis=1),
    }
    columns |= {f"p_{name}": probabilities[:, place] for place, name in enumerate(classes)}
    return pa.table(columns)


def score(classes: Sequence[str], prediction: EnsemblePrediction) -> ExternalScores:
    """Score the images that have a label (at least one).

    Args:
        classes: names, in the order of the probabilities.
        prediction: of the images.
    """
    rows = [place for place, image in enumerate(prediction.images) if image.label is not None]
    labels = np.array([prediction.images[place].label for place in rows], np.int64)
    probabilities = prediction.probabilities[rows]
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    found = class_scores(confusion(labels, predicted, len(classes)))
    present = found.support > 0
    calibration = calibration_of(probabilities, predicted, labels)
    metrics = {"accuracy": float((labels == predicted).mean())}
    for measure in MEASURE_NAMES:
        of_classes = getattr(found, measure)
        metrics[f"{measure}_macro"] = float(of_classes.mean())
        metrics[f"{measure}_macro_present"] = float(of_classes[present].mean())
    metrics |= {"ece": calibration.ece or 0.0, "brier": calibration.brier or 0.0}
    table = Table(
        name="predict",
        title="Scores on another folder",
        columns=(
            *(Column("class", "Class"), Column("support", "Support", "count")),
            *(Column(measure, name, "score") for measure, name in MEASURE_NAMES.items()),
        ),
        rows=tuple(
            Row(
                {
                    "class": name,
                    "support": int(found.support[place]),
                    **{measure: float(getattr(found, measure)[place]) for measure in MEASURE_NAMES},
                }
            )
            for place, name in enumerate(classes)
        ),
    )
    return ExternalScores(table, metrics, int(present.sum()), len(rows))
