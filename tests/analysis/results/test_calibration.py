"""Calibration against torchmetrics and scikit-learn, and by the definitions of the papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.classification import MulticlassCalibrationError

from analysis.page.build import build
from analysis.results.calibration import BINS, calibration, pooled
from analysis.results.predictions import softmax


def made(images: int, classes: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) * sharpness
    logits[np.arange(images), labels] += sharpness
    return logits.astype(np.float32), labels


@pytest.mark.parametrize(
    ("images", "classes", "sharpness"), [(500, 21, 0.5), (2000, 4, 2.0), (50, 2, 8.0), (3, 5, 1.0)]
)
def test_against_torchmetrics_and_scikit_learn(images: int, classes: int, sharpness: float) -> None:
    logits, labels = made(images, classes, sharpness)
    found = calibration(logits, labels)
    probabilities = torch.from_numpy(logits).softmax(1)
    expected = MulticlassCalibrationError(classes, n_bins=BINS, norm="l1")(probabilities, torch.from_numpy(labels))
    assert found.ece == pytest.approx(float(expected), abs=1e-5)
    exact = torch.from_numpy(logits).double().softmax(1).numpy()
    brier = brier_score_loss(labels, exact, labels=range(classes), scale_by_half=False)
    assert found.brier == pytest.approx(brier, abs=1e-5)


def test_ece_by_the_definition_of_guo() -> None:
    """Guo et al. 2017, eq. 3, bin by bin."""
    logits, labels = made(700, 6, 1.5, seed=4)
    probabilities = softmax(logits).astype(np.float64)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    ece = 0.0
    for place in range(BINS):
        inside = (confidence > place / BINS) & (confidence <= (place + 1) / BINS)
        if inside.any():
            ece += inside.sum() / len(labels) * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration(logits, labels).ece == pytest.approx(ece, abs=1e-9)


def test_sure_and_right_is_perfect_and_sure_and_wrong_the_worst() -> None:
    logits = np.array([[200.0, 0.0], [0.0, 200.0]], np.float32)
    right, wrong = calibration(logits, np.array([0, 1])), calibration(logits, np.array([1, 0]))
    assert (right.ece, right.brier) == (0.0, 0.0)
    assert (wrong.ece, wrong.brier, wrong.accuracy) == (1.0, 2.0, 0.0)
    assert right.images.tolist() == [0] * (BINS - 1) + [2]


def test_counts_add_up_to_those_of_the_whole() -> None:
    logits, labels = made(300, 5, 1.0)
    whole = calibration(logits, labels)
    parts = pooled([calibration(logits[:100], labels[:100]), calibration(logits[100:], labels[100:])])
    assert parts.total == 300
    assert parts.ece == pytest.approx(whole.ece, abs=1e-12)
    assert parts.brier == pytest.approx(whole.brier, abs=1e-6)
    with pytest.raises(ValueError, match="no calibration counts"):
        pooled([])


def test_no_images_have_no_calibration() -> None:
    nothing = calibration(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
    assert (nothing.ece, nothing.brier, nothing.accuracy, nothing.mean_confidence) == (None,) * 4


def test_the_tables_hold_each_test_image_once(finished: Any, small: Any) -> None:
    tables = {table.name: table for table in build(small.study).content.tables}
    images = sum(int(str(row.values["images"])) for row in tables["reliability"].rows)
    # Of four rows, each with the test parts of three folds: all images but one third of ABE, which lies in two folds.
    assert images == 4 * sum(len(table) for table in _tests(small))
    row: dict[str, Any] = dict(tables["calibration"].rows[0].values)
    assert 0 < row["ece_mean"] < 1
    assert 0 < row["brier_mean"] < 2


def _tests(small: Any) -> list[list[Any]]:
    return [
        [row for row in small.predictions(f"resnet18-Random-f{fold}-r0.01").to_pylist() if row["split"] == "test"]
        for fold in range(3)
    ]
