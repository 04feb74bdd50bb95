"""The bootstrap over images, against scipy's and against scoring each draw the long way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from analysis.results.collect import collect
from analysis.results.split import SplitPart
from analysis.stats.bootstrap import CHUNK, f1_macro_of_draws, resample

CLASSES = 4


def made(images: int, groups: int | None = None, seed: int = 0) -> tuple[list[np.ndarray], SplitPart]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, images, p=[0.05, 0.25, 0.3, 0.4])
    said = [
        np.where(rng.uniform(size=images) < skill, labels, rng.integers(0, CLASSES, images)) for skill in (0.7, 0.5)
    ]
    of_image = None if groups is None else rng.integers(0, groups, images)
    return [one.astype(np.int32) for one in said], SplitPart(
        pa.array([str(i) for i in range(images)]), labels, of_image
    )


def the_long_way(said: np.ndarray, part: SplitPart, draws: int, seed: int) -> list[float]:
    """Draw images (or groups) one by one, and score with scikit-learn."""
    rng = np.random.default_rng(seed)
    groups = np.arange(len(part.labels)) if part.groups is None else np.unique(part.groups, return_inverse=True)[1]
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    found = []
    for _ in range(draws):
        rows = np.concatenate([members[unit] for unit in rng.integers(0, len(members), len(members), dtype=np.uint32)])
        scores = f1_score(part.labels[rows], said[rows], average="macro", labels=range(CLASSES), zero_division=0)
        found.append(float(scores))
    return found


@pytest.mark.parametrize("groups", [None, 12])
def test_each_draw_scores_as_in_scikit_learn(groups: int | None) -> None:
    said, part = made(90, groups)
    draws = CHUNK + 6
    found = f1_macro_of_draws(said, part, CLASSES, draws, np.random.default_rng(3))
    for one, values in zip(said, found, strict=True):
        assert values.tolist() == pytest.approx(the_long_way(one, part, draws, 3), abs=1e-6)


def test_the_paired_interval_is_that_of_scipy() -> None:
    said, part = made(400)

    def difference(rows: np.ndarray) -> float:
        scores = [
            f1_score(part.labels[rows], one[rows], average="macro", labels=range(CLASSES), zero_division=0)
            for one in said
        ]
        return float(scores[0] - scores[1])

    expected = stats.bootstrap(
        (np.arange(400),), difference, vectorized=False, n_resamples=600, method="percentile", rng=1
    ).confidence_interval
    draws = f1_macro_of_draws(said, part, CLASSES, 3000, np.random.default_rng(0))
    low, high = np.quantile(draws[0] - draws[1], (0.025, 0.975))
    assert (low, high) == (pytest.approx(expected.low, abs=0.015), pytest.approx(expected.high, abs=0.015))
    # Pairing matters: differences vary less than two independent scores would.
    assert high - low < 0.95 * np.ptp(np.quantile(draws[0] - draws[1][::-1], (0.025, 0.975)))


def test_groups_widen_the_interval() -> None:
    """Images of a group that are alike are worth fewer than they look."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    labels = np.tile(np.arange(CLASSES), 100)
    said = np.where(np.repeat(rng.uniform(size=40) < 0.5, 10), labels, (labels + 1) % CLASSES).astype(np.int32)
    ids = pa.array([str(i) for i in range(400)])
    widths = [
        np.ptp(np.quantile(f1_macro_of_draws([said], SplitPart(ids, labels, g), CLASSES, 500, rng), (0.025, 0.975)))
        for g in (None, groups)
    ]
    assert widths[1] > 2 * widths[0]


def test_draws_depend_on_the_split_and_the_seed_alone(finished: Any) -> None:
    collected = collect(finished.study)
    first = resample(collected.chosen, collected.split, draws=20)
    again = resample(list(reversed(collected.chosen)), collected.split, draws=20)
    assert set(first.f1_macro) == set(again.f1_macro)
    assert all((first.f1_macro[run] == again.f1_macro[run]).all() for run in first.f1_macro)
    other = resample(collected.chosen, collected.split, draws=20, seed=1)
    assert any((first.f1_macro[run] != other.f1_macro[run]).any() for run in first.f1_macro)
