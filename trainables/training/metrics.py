"""Scores of a classification, as sums and counts first and divided last.

Definitions: Glüge et al. 2024, supplement 1.1, equations 1 to 3; MCC: Matthews 1975 on the
one-against-rest table of a class. A ratio 0/0 is 0 and is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.arrays import Floats, Ints

MEASURES = ("precision", "recall", "f1", "mcc")


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
    """Return the confusion matrix, shape (classes, classes): rows the true class, columns the predicted.

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


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
