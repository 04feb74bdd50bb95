"""Scores of a classification, as sums and counts first and divided last.

Definitions: Glüge et al. 2024, supplement 1.1, equations 1 to 3; MCC: Matthews 1975 on the
one-against-rest table of a class. A ratio 0/0 is 0 and is counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainables.arrays import Floats, Ints
from trainables.entry_spec import EntrySpec
from trainables.frozen import Frozen
from trainables.registry import Registry

MEASURES = ("precision", "recall", "f1", "mcc")
ALWAYS = ("accuracy", *(f"{measure}_macro" for measure in MEASURES))
"""The metrics of every result: see ``summary``."""
HISTORY = ("epoch", "split", "loss", "learning_rate", "images_per_second", "seconds")
"""Columns of a history that are no metric of a confusion matrix."""


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class against the rest, each of shape (classes,).

    Attributes:
        undefined: how many of the four ratios of each class were 0/0 and count as 0.
    """

    support: Ints
    precision: Floats
    recall: Floats
    f1: Floats
    mcc: Floats
    undefined: Ints

    def macro(self) -> dict[str, float]:
        """Return the unweighted mean over all classes of each measure."""
        return {measure: float(getattr(self, measure).mean()) for measure in MEASURES}


def confusion(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Return the confusion matrix: rows the true class, columns the predicted.

    Args:
        labels: the true classes, shape (n,).
        predicted: the predicted classes, shape (n,).
        classes: how many there are.

    Returns:
        counts, shape (classes, classes).

    Raises:
        ValueError: if a label or a prediction lies outside [0, classes).
    """
    for what, values in (("label", labels), ("prediction", predicted)):
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise ValueError(f"a {what} lies outside [0, {classes}): found {values.min()} to {values.max()}")
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: Ints) -> ClassScores:
    """Return the scores of each class from a confusion matrix (rows true, columns predicted)."""
    hits = np.diag(matrix).astype(np.float64)
    actual = matrix.sum(axis=1).astype(np.float64)
    called = matrix.sum(axis=0).astype(np.float64)
    total = float(matrix.sum())
    covariance = hits * total - actual * called
    spread = np.sqrt(actual * (total - actual)) * np.sqrt(called * (total - called))
    ratios = {
        "precision": (hits, called),
        "recall": (hits, actual),
        "f1": (2 * hits, actual + called),
        "mcc": (covariance, spread),
    }
    values = {name: _ratio(*parts) for name, parts in ratios.items()}
    undefined = sum((below == 0).astype(np.int64) for _, below in ratios.values())
    return ClassScores(support=matrix.sum(axis=1), undefined=np.asarray(undefined), **values)


def summary(matrix: Ints) -> dict[str, float]:
    """Return the flat scores of a confusion matrix: accuracy and the macro measures."""
    total = matrix.sum()
    accuracy = float(np.trace(matrix) / total) if total else 0.0
    return {
        "accuracy": accuracy,
        **{f"{name}_macro": value for name, value in class_scores(matrix).macro().items()},
    }


def history_metrics(matrix: Ints) -> dict[str, float]:
    """Return what a history shows of a confusion matrix: accuracy and f1_macro."""
    every = summary(matrix)
    return {"accuracy": every["accuracy"], "f1_macro": every["f1_macro"]}


class Metric(Frozen, ABC):
    """A further metric that a recipe may ask for. The fields of a subclass are its options.

    Its value stands beside the others in ``result.json``, ``val_<name>`` and ``test_<name>``, and in the val rows of
    the history. Nothing is selected by it.
    """

    @abstractmethod
    def compute(self, labels: Ints, logits: NDArray[np.float32]) -> float:
        """Return the metric of some scored images.

        Args:
            labels: the true classes, shape (n,).
            logits: shape (n, classes).
        """


metrics: Registry[type[Metric]] = Registry(
    "metric", "metrics", "trainables.training.metrics", Metric, reserved=(*ALWAYS, *HISTORY)
)


@metrics.register("top_k_accuracy")
class TopKAccuracy(Metric):
    """Share of images whose class is among the ``k`` of the highest logits. Of equal logits the lower class comes first."""

    k: int = Field(2, ge=1, description="number of classes")

    def compute(self, labels: Ints, logits: NDArray[np.float32]) -> float:
        """Return the share; 0 of no images.

        Args:
            labels: the true classes, shape (n,).
            logits: shape (n, classes).
        """
        first = np.argsort(-logits, axis=1, kind="stable")[:, : self.k]
        return float((first == labels[:, None]).any(axis=1).mean()) if len(labels) else 0.0


def requested(specs: Iterable[EntrySpec], labels: Ints, logits: NDArray[np.float32]) -> dict[str, float]:
    """Return the metrics that a recipe asks for, by name.

    Args:
        specs: the recipe's ``metrics``.
        labels: the true classes, shape (n,).
        logits: shape (n, classes).

    Raises:
        UserError: if there is no such metric.
    """
    entries = {spec.name: metrics[spec.name].model_validate(spec.options) for spec in specs}
    return {name: float(entry.compute(labels, logits)) for name, entry in entries.items()}


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
