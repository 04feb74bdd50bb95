"""Bootstrap over test images: how much of a score hangs on which images were drawn.

In each fold images are drawn anew with replacement, whole groups where groups are known, the same
draw for all rows: so rows stay paired. No image is looked at again: drawn are weights of images, and a
sparse matrix product turns them into the counts of each class, from which F1 follows.
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
"""Draws at once: bounds the memory to CHUNK × images × 4 bytes, 9 MB for the real set."""

Run = tuple[str, str, int, int]
"""Architecture, scenario, fold, seed."""


@dataclass(frozen=True)
class Resampled:
    """The macro F1 of each run in each draw, shape (draws,). One draw number is one draw for all runs."""

    f1_macro: Mapping[Run, Floats]

    def interval(self, values: Floats, confidence: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of a figure of all draws, shape (draws,)."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(values, (tail, 1 - tail))
        return float(low), float(high)


def resample(cells: Iterable[Cell], split: StoredSplit, draws: int = DRAWS, seed: int = 0) -> Resampled:
    """Draw the test images of each fold ``draws`` times and score the cells on each draw.

    Args:
        cells: one a run, all verified against ``split``.
        split: of the study.
        draws: number of draws.
        seed: of the draws; they depend on it, the split and the fold alone.
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
    """Return the macro F1 of several predictions of the same images, shape (predictions, draws).

    Args:
        predicted: class said of each image of the part, each of shape (images,).
        part: the images, with their labels and, where known, groups.
        classes: number of classes; all count, those absent from a draw and never said with 0.
        draws: number of draws.
        rng: where they come from.
    """
    indicator = _indicator(predicted, part, classes)
    result = np.empty((len(predicted), draws))
    start = 0
    for weights in _draws(indicator.shape[1], draws, rng):
        # Sums of whole numbers below 2^24 are exact in float32, in any order.
        drawn = indicator @ weights
        support, said = drawn[:classes], drawn[classes:].reshape(len(predicted), 2, classes, -1)
        hits = said[:, 1]
        below = support + said.sum(axis=1)
        f1 = np.divide(2 * hits, below, out=np.zeros_like(below), where=below > 0)
        result[:, start : start + weights.shape[1]] = f1.mean(axis=1, dtype=np.float64)
        start += weights.shape[1]
    return result


def _indicator(predicted: list[NDArray[np.int32]], part: SplitPart, classes: int) -> Any:
    """Return what a unit (image or group) adds to each count: a sparse matrix of shape (counts, units).

    The counts: images of each class; then, for each prediction, how often each class was said
    wrongly, and how often rightly.
    """
    from scipy.sparse import csr_matrix

    labels = part.labels
    unit = np.arange(len(labels)) if part.groups is None else np.unique(part.groups, return_inverse=True)[1]
    counted = [labels]
    for place, said in enumerate(predicted):
        counted.append(classes * (1 + 2 * place + (said == labels)) + said)
    shape = (classes * (1 + 2 * len(predicted)), int(unit.max(initial=-1)) + 1)
    ones = np.ones(len(labels) * len(counted), np.float32)
    return csr_matrix((ones, (np.concatenate(counted), np.tile(unit, len(counted)))), shape=shape)


def _draws(units: int, draws: int, rng: np.random.Generator) -> Iterator[Weights]:
    """Yield how often each unit is in each draw, in chunks of shape (units, up to CHUNK)."""
    for start in range(0, draws, CHUNK):
        weights = np.empty((units, min(CHUNK, draws - start)), np.float32)
        for draw in range(weights.shape[1]):
            weights[:, draw] = np.bincount(rng.integers(0, units, units, dtype=np.uint32), minlength=units)
        yield weights
