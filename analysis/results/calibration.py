"""Calibration: predicted probabilities against observed accuracy. Sums are kept and divided last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.predictions import softmax
from trainables.arrays import Floats, Ints

BINS = 15
"""Bins of equal width over the confidence, as in Guo et al. 2017 (arXiv:1706.04599)."""


@dataclass(frozen=True)
class Calibration:
    """Counts and sums over images, by bin of the confidence (the probability of the predicted class).

    Bin m of M holds confidences in ((m-1)/M, m/M].

    Attributes:
        images: number of images, shape (bins,).
        confidence: sum of the confidences, shape (bins,).
        hits: number of correct predictions, shape (bins,).
        squares: sum over images and classes of (probability - truth)², for the Brier score.
    """

    images: Ints
    confidence: Floats
    hits: Ints
    squares: float

    @property
    def total(self) -> int:
        """Number of images."""
        return int(self.images.sum())

    @property
    def ece(self) -> float | None:
        """Expected calibration error (Guo et al. 2017, eq. 3): |accuracy - confidence| of the bins, weighted by images."""
        return float(np.abs(self.hits - self.confidence).sum() / self.total) if self.total else None

    @property
    def brier(self) -> float | None:
        """Brier score over all classes (Brier 1950): 0 is perfect, 2 the worst."""
        return self.squares / self.total if self.total else None

    @property
    def mean_confidence(self) -> float | None:
        """Mean probability of the predicted class."""
        return float(self.confidence.sum() / self.total) if self.total else None

    @property
    def accuracy(self) -> float | None:
        """Fraction of images whose predicted class is the true one."""
        return float(self.hits.sum() / self.total) if self.total else None


def calibration(logits: NDArray[np.float32], labels: Ints, bins: int = BINS) -> Calibration:
    """Count the images of a part by confidence.

    Args:
        logits: shape (images, classes), finite.
        labels: true classes, shape (images,).
        bins: number of bins.
    """
    return calibration_of(softmax(logits), logits.argmax(axis=1), labels, bins)


def calibration_of(probabilities: NDArray[Any], predicted: Ints, labels: Ints, bins: int = BINS) -> Calibration:
    """Count images by confidence, from their probabilities.

    Args:
        probabilities: shape (images, classes), each row adds up to 1.
        predicted: predicted classes, shape (images,).
        labels: true classes, shape (images,).
        bins: number of bins.
    """
    rows = np.arange(len(labels))
    confidence = probabilities[rows, predicted].astype(np.float64)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    # sum_k (p_k - y_k)² = sum_k p_k² - 2 p_true + 1
    squares = np.einsum("ik,ik->", probabilities, probabilities, dtype=np.float64)
    truth = probabilities[rows, labels].sum(dtype=np.float64)
    return Calibration(
        images=np.bincount(place, minlength=bins),
        confidence=np.bincount(place, weights=confidence, minlength=bins).astype(np.float64),
        hits=np.bincount(place[predicted == labels], minlength=bins),
        squares=float(squares - 2 * truth + len(labels)),
    )


def pooled(parts: Iterable[Calibration]) -> Calibration:
    """Add up the counts of several parts (at least one, all with the same number of bins).

    Raises:
        ValueError: if there is no part.
    """
    found = list(parts)
    if not found:
        raise ValueError("no calibration counts to add up")
    return Calibration(
        images=np.sum([part.images for part in found], axis=0),
        confidence=np.sum([part.confidence for part in found], axis=0),
        hits=np.sum([part.hits for part in found], axis=0),
        squares=sum(part.squares for part in found),
    )
