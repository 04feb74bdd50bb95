"""Statistics against worked examples, scipy, statsmodels, and second implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC
from statsmodels.stats.multitest import multipletests

from analysis.stats.paired_tests import corrected_t_test, holm, ranks


def by_definition(d: np.ndarray, train: int, test: int) -> tuple[float, float]:
    """Nadeau and Bengio 2003 written out term by term, p by scipy's distribution."""
    mean = sum(d) / len(d)
    variance = sum((x - mean) ** 2 for x in d) / (len(d) - 1)
    t = mean / math.sqrt(variance * (1 / len(d) + test / train))
    return t, 2 * stats.t.sf(abs(t), len(d) - 1)


def test_the_published_example_of_scikit_learn() -> None:
    """Its page "Statistical comparison of models using grid search" prints t = 0.750 and one-sided p = 0.227."""
    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    scores = [
        cross_val_score(model, x, y, scoring="roc_auc", cv=folds)
        for model in (SVC(kernel="rbf", random_state=0), SVC(kernel="linear", random_state=0))
    ]
    found = corrected_t_test(scores[0] - scores[1], ratio=10 / 90)
    assert found.t == pytest.approx(0.750, abs=5e-4)
    assert found.p == pytest.approx(2 * 0.227, abs=1e-3)


@pytest.mark.parametrize("folds", [2, 3, 5, 10, 100])
def test_against_the_definition(folds: int) -> None:
    rng = np.random.default_rng(folds)
    d = rng.normal(0.01, 0.02, folds)
    found = corrected_t_test(d, ratio=20 / 64)
    t, p = by_definition(d, train=64, test=20)
    assert found.t == pytest.approx(t, rel=1e-12)
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found.effect == pytest.approx(d.mean() / d.std(ddof=1))
    # The interval holds 0 exactly where the test does not reject.
    assert found.low is not None
    assert found.high is not None
    assert (found.low <= 0 <= found.high) == (p >= 0.05)
    assert (found.low + found.high) / 2 == pytest.approx(d.mean())


def test_without_overlap_it_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.05, 12), rng.normal(0.78, 0.05, 12)
    found = corrected_t_test(a - b, ratio=0)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert [found.t, found.p] == pytest.approx([expected.statistic, expected.pvalue])
    assert [found.low, found.high] == pytest.approx([interval.low, interval.high])


def test_the_correction_makes_five_folds_more_careful() -> None:
    """With five equal folds 1/J + n_test/n_train is 0.45 instead of 0.2: t shrinks by 1.5."""
    d = [0.02, 0.03, 0.01, 0.04, 0.02]
    corrected, naive = corrected_t_test(d, 0.25).t, corrected_t_test(d, 0).t
    assert corrected is not None
    assert naive is not None
    assert naive / corrected == pytest.approx(1.5)


def test_nothing_is_said_where_nothing_can_be() -> None:
    one = corrected_t_test([0.1], 0.25)
    assert (one.folds, one.mean, one.low, one.t, one.p, one.effect) == (1, 0.1, None, None, None, None)
    same = corrected_t_test([0.1, 0.1, 0.1], 0.25)
    assert (same.t, same.p) == (None, None)
    none = corrected_t_test([0.0, 0.0, 0.0], 0.25)
    assert (none.mean, none.p) == (0.0, 1.0)
    with pytest.raises(ValueError, match="needs a difference"):
        corrected_t_test([], 0.25)


@pytest.mark.parametrize("seed", range(20))
def test_holm_against_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=rng.integers(1, 15)) ** rng.integers(1, 6)
    p[rng.integers(len(p))] = p[0]
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_holm_leaves_out_what_was_not_tested() -> None:
    # Holm 1979: 0.01 × 3, then 0.02 × 2, then 0.03 × 1, never falling.
    assert holm([0.01, None, 0.03, 0.02]) == pytest.approx([0.03, None, 0.04, 0.04])
    assert holm([]) == []


def test_ranks_against_scipy() -> None:
    scores = np.round(np.random.default_rng(0).uniform(size=(7, 5)), 1)
    assert ranks(scores).tolist() == stats.rankdata(-scores, axis=0).tolist()
