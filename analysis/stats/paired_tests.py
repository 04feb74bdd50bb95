"""Statistics of paired folds: the corrected resampled t-test, and Holm's correction.

Only ``scipy.special`` is imported: importing ``scipy.stats`` takes half a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainables.arrays import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedTest:
    """A paired difference over folds with its test.

    Attributes:
        folds: number of differences.
        mean: of the differences.
        low: lower bound of the confidence interval of the mean; None with fewer than two folds; likewise ``high``.
        t: the corrected statistic; None with fewer than two folds, or where the differences are equal and not 0.
        p: its two-sided p-value; None likewise.
        effect: mean / SD of the differences (Cohen's d_z); None likewise.
    """

    folds: int
    mean: float
    low: float | None = None
    high: float | None = None
    t: float | None = None
    p: float | None = None
    effect: float | None = None


def corrected_t_test(differences: Sequence[float] | Floats, ratio: float, confidence: float = CONFIDENCE) -> PairedTest:
    """Test whether a mean difference is 0, by the corrected resampled t-test.

    Nadeau and Bengio 2003 (Machine Learning 52, 239–281): t = mean / sqrt((1/J + n_test/n_train) · s²) with J - 1
    degrees of freedom. The plain factor 1/J assumes independent folds, but they share training images.

    Args:
        differences: one per fold, shape (J,).
        ratio: test images / training images of a fold.
        confidence: of the interval.

    Raises:
        ValueError: if there is no difference or the ratio is negative.
    """
    d = np.asarray(differences, dtype=np.float64)
    if not len(d) or ratio < 0:
        raise ValueError(f"a test needs a difference and a ratio of 0 or more, found {len(d)} and {ratio}")
    mean, count = float(d.mean()), len(d)
    if count < 2:
        return PairedTest(count, mean)
    deviation = float(d.std(ddof=1))
    # Equal differences leave an SD of a few rounding errors.
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return PairedTest(count, mean, mean, mean, *((0.0, 1.0, 0.0) if mean == 0 else (None, None, None)))
    error = math.sqrt(1 / count + ratio) * deviation
    t, reach = mean / error, t_quantile(count - 1, (1 + confidence) / 2) * error
    return PairedTest(count, mean, mean - reach, mean + reach, t, t_two_sided(t, count - 1), mean / deviation)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for a family of tests by Holm's step-down procedure (Holm 1979).

    Args:
        p_values: one per comparison; None (not tested) stays None and does not count in the family.

    Returns:
        the corrected p-values, in the same order.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        corrected[place] = highest
    return corrected


def t_quantile(freedom: int, probability: float) -> float:
    """Return a quantile of Student's t distribution.

    Args:
        freedom: degrees of freedom.
        probability: of the quantile, in (0, 1).
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def t_two_sided(t: float, freedom: int) -> float:
    """Return the two-sided p-value of Student's t.

    Args:
        t: the statistic.
        freedom: degrees of freedom.
    """
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


def ranks(scores: Floats) -> Floats:
    """Return the rank of each score in its column: 1 is the highest, ties share their mean rank.

    Args:
        scores: shape (rows, columns).
    """
    higher = (scores[None, :, :] > scores[:, None, :]).sum(axis=1)
    alike = (scores[None, :, :] == scores[:, None, :]).sum(axis=1)
    found: Floats = higher + (alike + 1) / 2
    return found
