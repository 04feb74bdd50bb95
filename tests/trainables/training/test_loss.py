"""Tests of the training loss."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainables.support.training_bench import (
    Constant,
    training,
)
from trainables.data.loading.batches import Part
from trainables.data.packing.prepare import Packed


def cross_entropy(logits: list[float], labels: np.ndarray, weights: np.ndarray, smoothing: float) -> float:
    """The definition: class weights by label, smoothing spread over all classes."""
    log_p = np.array(logits) - np.log(np.exp(logits).sum())
    target = (1 - smoothing) * np.eye(len(logits))[labels] + smoothing / len(logits)
    return float(-(target * weights * log_p).sum() / weights[labels].sum())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighting", ["none", "balanced"])
def test_the_loss_is_the_cross_entropy_of_the_recipe(coloured: Packed, smoothing: float, weighting: str) -> None:
    logits = [0.5, -1.0, 2.0]
    rows = np.flatnonzero((coloured.labels == 0) | (np.arange(60) % 9 == 2))  # many of class 0, few of class 2
    recipe = {"epochs": 1, "batch_size": 60, "label_smoothing": smoothing, "class_weights": weighting}
    run = training(coloured, Constant(logits), train=Part(coloured, rows), learning_rate=1e-12, recipe=recipe)
    (epoch,) = run.run()
    labels = coloured.labels[rows]
    counts = np.bincount(labels, minlength=3)
    weights = len(labels) / (3 * np.maximum(counts, 1)) if weighting == "balanced" else np.ones(3)
    assert epoch.train["loss"] == pytest.approx(cross_entropy(logits, labels, weights, smoothing), rel=1e-5)
    val = cross_entropy(logits, run.val.labels, np.ones(3), 0.0)
    assert epoch.val["loss"] == pytest.approx(val, rel=1e-5), "val: plain, so that recipes can be compared"
    assert epoch.train["accuracy"] == pytest.approx(counts[2] / len(labels))


def test_balanced_weights_count_every_class_alike(coloured: Packed) -> None:
    rows = np.concatenate([np.flatnonzero(coloured.labels == 0), np.array([1, 2])])
    recipe = {"epochs": 1, "batch_size": 60, "class_weights": "balanced"}
    run = training(coloured, Constant([0.5, -1.0, 2.0]), train=Part(coloured, rows), learning_rate=1e-12, recipe=recipe)
    (epoch,) = run.run()
    alike = cross_entropy([0.5, -1.0, 2.0], np.array([0, 1, 2]), np.ones(3), 0.0)
    assert epoch.train["loss"] == pytest.approx(alike, rel=1e-5)
