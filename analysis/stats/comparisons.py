"""Comparisons paired over folds: of two rows, or of the mean of several pairs of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.results.collect import Collected
from analysis.results.plan_file import RowName
from analysis.stats.bootstrap import DRAWS, Resampled, resample
from analysis.stats.class_averages import RowScores
from analysis.stats.paired_tests import PairedTest, corrected_t_test, holm
from trainables.arrays import Floats

RowPair = tuple[RowName, RowName]
Values = Mapping[tuple[int, int], Floats]
"""Of one row: (fold, seed) -> macro F1, shape (1,), or macro F1 of each bootstrap draw, shape (draws,)."""

MEASURE = "f1"
LEAST_FOLDS = 3
"""With fewer folds there is no verdict: a t with one degree of freedom tells next to nothing."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """First minus second in macro F1, paired over folds.

    Attributes:
        first: name of the first side in tables and sentences; likewise ``second``.
        pairs: the pairs of rows whose differences are averaged within each fold.
        folds: the folds that every pair has.
        without: pairs that have no fold in common; they do not count.
        against: pairs whose own mean difference has the opposite sign of the mean over all pairs.
        test: None where no fold is left.
        p_holm: p-value corrected for the family that the comparison was made in.
        interval: percentile interval over bootstrap draws of the test images; None where no fold is left.
    """

    first: str
    second: str
    pairs: tuple[RowPair, ...]
    folds: tuple[int, ...] = ()
    without: tuple[RowPair, ...] = ()
    against: tuple[RowPair, ...] = ()
    test: PairedTest | None = None
    p_holm: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def enough(self) -> bool:
        """Whether there are enough folds for a verdict."""
        return len(self.folds) >= LEAST_FOLDS

    @property
    def settled(self) -> bool:
        """Whether the difference is significant after Holm's correction."""
        return self.enough and self.p_holm is not None and self.p_holm < SIGNIFICANT


@dataclass(frozen=True)
class Comparer:
    """Compares rows of a study; the bootstrap draws are made once, for all comparisons.

    Attributes:
        collected: the study.
        rows: its rows.
        draws: number of bootstrap draws.
    """

    collected: Collected
    rows: Sequence[RowScores]
    draws: int = DRAWS

    @cached_property
    def scores(self) -> Mapping[RowName, Values]:
        """Macro F1 of each run of each row."""
        return {
            row.row: {
                (cell.candidate.fold, cell.candidate.seed): np.array([value])
                for cell, value in zip(row.cells, row.by_run(MEASURE).mean(axis=1), strict=True)
            }
            for row in self.rows
        }

    @cached_property
    def resampled(self) -> Resampled:
        """The chosen cells, scored on bootstrap draws of the test images."""
        return resample(self.collected.chosen, self.collected.split, self.draws)

    @cached_property
    def draw_scores(self) -> Mapping[RowName, Values]:
        """Macro F1 of each run of each row in each bootstrap draw."""
        rows: dict[RowName, dict[tuple[int, int], Floats]] = {name: {} for name in self.scores}
        for (architecture, scenario, fold, seed), values in self.resampled.f1_macro.items():
            rows[architecture, scenario][fold, seed] = values
        return rows

    def family(self, comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
        """Test comparisons, with Holm's correction over all of them."""
        tested = [self.tested(comparison) for comparison in comparisons]
        corrected = holm([one.test.p if one.test is not None and one.enough else None for one in tested])
        return tuple(replace(one, p_holm=p) for one, p in zip(tested, corrected, strict=True))

    def tested(self, comparison: Comparison) -> Comparison:
        """Return a comparison with its test and interval, uncorrected."""
        by_pair = {pair: _differences(self.scores, pair) for pair in comparison.pairs}
        pairs = tuple(pair for pair, found in by_pair.items() if found)
        without = tuple(pair for pair, found in by_pair.items() if not found)
        folds = tuple(sorted(set.intersection(*(set(by_pair[pair]) for pair in pairs)))) if pairs else ()
        if not folds:
            return replace(comparison, without=without)
        each = np.array([[by_pair[pair][fold][0] for pair in pairs] for fold in folds])
        values = each.mean(axis=1)
        against = each.mean(axis=0) * values.mean() < 0
        in_draws = [_differences(self.draw_scores, pair) for pair in pairs]
        draws = np.mean([[found[fold] for fold in folds] for found in in_draws], axis=(0, 1))
        return replace(
            comparison,
            pairs=pairs,
            without=without,
            against=tuple(pair for pair, opposite in zip(pairs, against, strict=True) if opposite),
            folds=folds,
            test=corrected_t_test(values, self.collected.split.test_train_ratio(folds)),
            interval=self.resampled.interval(draws),
        )


def fold_means(values: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """Average over the seeds of each fold: seeds are no further folds.

    Args:
        values: (fold, seed) -> score.
    """
    by_fold: dict[int, list[float]] = {}
    for (fold, _), value in values.items():
        by_fold.setdefault(fold, []).append(value)
    return {fold: float(np.mean(found)) for fold, found in by_fold.items()}


def _differences(scores: Mapping[RowName, Values], pair: RowPair) -> dict[int, Floats]:
    """Return first minus second for each fold that both rows have, averaged over the seeds of the fold."""
    first, second = (scores.get(name, {}) for name in pair)
    by_fold: dict[int, list[Floats]] = {}
    for run in first:
        if run in second:
            by_fold.setdefault(run[0], []).append(first[run] - second[run])
    return {fold: np.mean(found, axis=0) for fold, found in by_fold.items()}
