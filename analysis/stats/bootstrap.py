"""Bootstrap over test images: the uncertainty of a score due to the finite test set.

In each fold images (whole groups where groups are known) are drawn with replacement, the same draw for all rows, so that
rows stay paired. A draw is a vector of image weights; a sparse matrix product turns weights into the counts of each
class, from which F1 follows. No prediction is read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.results.split import SplitPart, StoredSplit
from analysis.results.verify import Cell
from trainables.arrays import Floats
from trainables.hashing import derive_seed

Weights = NDArray[np.float32]
DRAWS = 1000
CHUNK = 64
"""Draws per matrix product: bounds the memory to CHUNK × images × 4 bytes, 9 MB for 34,000 test images."""

Run = tuple[str, str, int, int]
"""Architecture, scenario, fold, seed."""


@dataclass(frozen=True)
class Resampled:
    """Macro F1 of each run in each draw, shape (draws,). Index i is the same draw in all runs of a fold."""

    f1_macro: Mapping[Run, Floats]

    def interval(self, values: Floats, confidence: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of a statistic.

        Args:
            values: the statistic of each draw, shape (draws,).
            confidence: of the interval.
        """
        tail = (1 - confidence) / 2
        low, high = np.quantile(values, (tail, 1 - tail))
        return float(low), float(high)


def resample(cells: Iterable[Cell], split: StoredSplit, draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Score cells on bootstrap draws of the test images of their folds.

    Args:
        cells: one per run, all verified against ``split``.
        split: of the study.
        draws: number of draws.
        seed: the draws depend on it, the split and the fold alone.
    """
    by_fold: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_fold[cell.candidate.fold].append(cell)
    scores: dict[Run, Floats] = {}
    for fold, of_fold in by_fold.items():
        part = split.part(fold, "test")
        rng = np.random.default_rng(derive_seed("bootstrap", split.digest, fold, seed))
        classes = len(of_fold[0].confusion["test"])
        found = f1_macro_of_draws([cell.predicted for cell in of_fold], part, classes, draws, rng)
        for cell, values in zip(of_fold, found, strict=True):
            chosen = cell.candidate
            scores[chosen.architecture, chosen.scenario, fold, chosen.seed] = values
    return Resampled(scores)


def f1_macro_of_draws(
    predicted: list[NDArray[np.int32]], part: SplitPart, classes: int, draws: int, rng: np.random.Generator
) -> Floats:
    """Return the macro F1 of several predictions of the same images on bootstrap draws.

    Args:
        predicted: predicted classes, each of shape (images,).
        part: the images, with their labels and, where known, groups.
        classes: number of classes; one that is neither in a draw nor predicted counts 0.
        draws: number of draws.
        rng: source of the draws.

    Returns:
        shape (predictions, draws).
    """
    indicator = _indicator(predicted, part, classes)
    result = np.empty((len(predicted), draws))
    start = 0
    for weights in _draws(indicator.shape[1], draws, rng):
        # Sums of integers below 2^24 are exact in float32, in any order.
        counts = indicator @ weights
        support, called = counts[:classes], counts[classes:].reshape(len(predicted), 2, classes, -1)
        hits = called[:, 1]
        below = support + called.sum(axis=1)
        f1 = np.divide(2 * hits, below, out=np.zeros_like(below), where=below > 0)
        result[:, start : start + weights.shape[1]] = f1.mean(axis=1, dtype=np.float64)
        start += weights.shape[1]
    return result


def _indicator(predicted: list[NDArray[np.int32]], part: SplitPart, classes: int) -> Any:
    """Return the contribution of each unit (image or group) to each count, sparse, shape (counts, units).

    The counts are: images of each class; then, for each prediction, wrong and right predictions of each class.
    """
    from scipy.sparse import csr_matrix

    labels = part.labels
    unit = np.arange(len(labels)) if part.groups is None else np.unique(part.groups, return_inverse=True)[1]
    counted = [labels]
    for place, called in enumerate(predicted):
        counted.append(classes * (1 + 2 * place + (called == labels)) + called)
    shape = (classes * (1 + 2 * len(predicted)), int(unit.max(initial=-1)) + 1)
    ones = np.ones(len(labels) * len(counted), np.float32)
    return csr_matrix((ones, (np.concatenate(counted), np.tile(unit, len(counted)))), shape=shape)


def _draws(units: int, draws: int, rng: np.random.Generator) -> Iterator[Weights]:
    """Yield the multiplicity of each unit in each draw, in chunks of shape (units, up to CHUNK)."""
    for start in range(0, draws, CHUNK):
        weights = np.empty((units, min(CHUNK, draws - start)), np.float32)
        for draw in range(weights.shape[1]):
            weights[:, draw] = np.bincount(rng.integers(0, units, units, dtype=np.uint32), minlength=units)
        yield weights
