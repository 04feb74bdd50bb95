"""Tests of the scores, against scikit-learn and against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from trainables.entry_spec import EntrySpec
from trainables.errors import UserError
from trainables.training.metrics import MEASURES, TopKAccuracy, class_scores, confusion, requested, summary

pytestmark = pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")

Answers = tuple[int, NDArray[np.int64], NDArray[np.int64]]


@st.composite
def answers(draw: Any) -> Answers:
    """Draw classes, labels, predictions. Some classes are absent, some never predicted, some both."""
    classes = draw(st.integers(1, 5))
    true_ones = draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    called_ones = draw(st.lists(st.integers(0, classes - 1), min_size=1, unique=True))
    pairs = draw(st.lists(st.tuples(st.sampled_from(true_ones), st.sampled_from(called_ones)), min_size=1, max_size=30))
    labels, predicted = np.array(pairs, dtype=np.int64).T
    return classes, labels, predicted


NASTY = {
    "all right": [[3, 0, 0], [0, 2, 0], [0, 0, 1]],
    "all wrong": [[0, 3, 0], [0, 0, 2], [1, 0, 0]],
    "class absent": [[3, 1, 0], [0, 0, 0], [1, 0, 2]],
    "class never predicted": [[3, 0, 1], [1, 0, 2], [0, 0, 2]],
    "absent and never predicted": [[3, 0, 1], [0, 0, 0], [1, 0, 2]],
    "one class predicted": [[3, 0, 0], [5, 0, 0], [1, 0, 0]],
    "one class there": [[3, 2, 1], [0, 0, 0], [0, 0, 0]],
    "one class in all": [[4]],
    "one image": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
}


def test_rows_are_true_and_columns_predicted() -> None:
    matrix = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


@settings(max_examples=80)
@given(answers())
def test_random_answers_score_as_in_scikit_learn(drawn: Answers) -> None:
    classes, labels, predicted = drawn
    matrix = confusion(labels, predicted, classes)
    assert np.array_equal(matrix, metrics.confusion_matrix(labels, predicted, labels=range(classes)))
    check_against_scikit_learn(matrix, labels, predicted)


@pytest.mark.parametrize("name", NASTY)
def test_nasty_matrices_score_as_in_scikit_learn(name: str) -> None:
    matrix = np.array(NASTY[name], dtype=np.int64)
    labels, predicted = np.repeat(np.indices(matrix.shape).reshape(2, -1), matrix.reshape(-1), axis=1)
    assert np.array_equal(confusion(labels, predicted, len(matrix)), matrix)
    check_against_scikit_learn(matrix, labels, predicted)


def check_against_scikit_learn(
    matrix: NDArray[np.int64], labels: NDArray[np.int64], predicted: NDArray[np.int64]
) -> None:
    classes = len(matrix)
    scores = class_scores(matrix)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=0
    )
    mcc = [metrics.matthews_corrcoef(labels == c, predicted == c) for c in range(classes)]
    assert np.array_equal(scores.support, support)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    np.testing.assert_allclose(scores.mcc, mcc, atol=1e-12)
    means = {"precision": precision.mean(), "recall": recall.mean(), "f1": f1.mean(), "mcc": np.mean(mcc)}
    assert scores.macro() == pytest.approx(means)
    assert summary(matrix) == pytest.approx(
        {"accuracy": metrics.accuracy_score(labels, predicted)} | {f"{m}_macro": means[m] for m in MEASURES}
    )


@given(answers())
def test_each_ratio_of_nothing_by_nothing_is_zero_and_counted(drawn: Answers) -> None:
    classes, labels, predicted = drawn
    scores = class_scores(confusion(labels, predicted, classes))
    for c in range(classes):
        there, called = np.sum(labels == c), np.sum(predicted == c)
        of_nothing = {
            "precision": called == 0,
            "recall": there == 0,
            "f1": there + called == 0,
            "mcc": there in (0, len(labels)) or called in (0, len(labels)),
        }
        assert scores.undefined[c] == sum(of_nothing.values())
        assert [getattr(scores, name)[c] for name, nothing in of_nothing.items() if nothing] == [0.0] * sum(
            of_nothing.values()
        )


def test_no_images_at_all_score_zero_everywhere() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    matrix = confusion(nothing, nothing, 3)
    scores = class_scores(matrix)
    assert matrix.tolist() == [[0] * 3] * 3
    assert scores.undefined.tolist() == [4, 4, 4]
    assert scores.support.tolist() == [0, 0, 0]
    assert set(summary(matrix).values()) == {0.0}


def test_scores_of_a_set_of_the_real_size_are_exact() -> None:
    """171,374 images, classes of 8 to 29,424: products of counts pass 2**53."""
    rng = np.random.default_rng(0)
    counts = rng.integers(8, 60_000, size=12)
    matrix = np.stack([rng.multinomial(n, rng.dirichlet(np.ones(12))) for n in counts * 100])
    scores = class_scores(matrix)
    total = int(matrix.sum())
    for c in range(12):
        hit, there, called = int(matrix[c, c]), int(matrix[c].sum()), int(matrix[:, c].sum())
        assert scores.f1[c] == pytest.approx(float(Fraction(2 * hit, there + called)), rel=1e-14)
        square = Fraction((hit * total - there * called) ** 2, there * (total - there) * called * (total - called))
        assert scores.mcc[c] ** 2 == pytest.approx(float(square), rel=1e-9)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([0, 3], [0, 0], r"a label lies outside \[0, 3\): found 0 to 3"),
        ([-1, 0], [0, 0], "a label lies outside .* found -1 to 0"),
        ([0, 0], [0, 4], "a prediction lies outside .* found 0 to 4"),
    ],
)
def test_answers_outside_the_classes_are_refused(labels: list[int], predicted: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(np.array(labels), np.array(predicted), 3)


def test_the_mean_of_macro_f1_over_folds_is_the_macro_of_the_means() -> None:
    """By linearity: why one figure of the table may be checked by the other."""
    rng = np.random.default_rng(1)
    folds = [rng.integers(0, 9, size=(5, 5)) for _ in range(4)]
    per_class = np.mean([class_scores(matrix).f1 for matrix in folds], axis=0)
    assert np.mean([summary(matrix)["f1_macro"] for matrix in folds]) == pytest.approx(per_class.mean())


# What a recipe asks for


@settings(max_examples=40)
@given(answers(), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_top_k_accuracy_is_scikit_learns(drawn: Answers, k: int, seed: int) -> None:
    classes, labels, _ = drawn
    logits = np.random.default_rng(seed).permutation(len(labels) * classes).reshape(-1, classes).astype(np.float32)
    (found,) = requested([EntrySpec(name="top_k_accuracy", options={"k": k})], labels, logits).values()
    if classes == 1 or k >= classes:
        assert found == 1.0
    elif classes > 2:
        expected = metrics.top_k_accuracy_score(labels, logits, k=k, labels=range(classes))
        assert found == pytest.approx(expected)
    else:
        assert found == pytest.approx((logits.argmax(1) == labels).mean())


def test_equal_logits_count_for_the_lower_class() -> None:
    """As argmax does: so that the first of k is the prediction."""
    top = TopKAccuracy(k=1)
    assert top.compute(np.array([0, 1]), np.zeros((2, 3), np.float32)) == 0.5
    assert top.compute(np.zeros(0, np.int64), np.zeros((0, 3), np.float32)) == 0.0


def test_what_is_asked_for_is_computed_and_nothing_else() -> None:
    labels, logits = np.array([0, 1]), np.eye(2, dtype=np.float32)
    assert requested([], labels, logits) == {}
    with pytest.raises(UserError, match="no metric top_k; there are top_k_accuracy"):
        requested([EntrySpec(name="top_k")], labels, logits)
