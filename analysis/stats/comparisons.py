"""Comparisons paired over folds: of two rows, or of the mean of several pairs of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.results.collect import Collected
from analysis.stats.bootstrap import DRAWS, Resampled, resample
from analysis.stats.class_averages import RowScores
from analysis.stats.paired_tests import PairedTest, corrected_t_test, holm
from trainables.arrays import Floats

Name = tuple[str, str]
"""A row: architecture, scenario."""
Values = Mapping[tuple[int, int], Floats]
"""Of one row: (fold, seed) -> macro F1, shape (1,), or of each draw of the images, shape (draws,)."""

MEASURE = "f1"
LEAST_FOLDS = 3
"""Fewer folds than this carry no verdict: with two, the t of one degree of freedom says next to nothing."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """A minus b in macro F1, paired over folds.

    Attributes:
        first, second: what is compared, as the table names it.
        pairs: the pairs of rows whose differences are averaged within each fold.
        folds: the folds that every pair has.
        without: pairs that have no fold in common, and do not count.
        against: pairs whose own difference, over the same folds, has the other sign than that of the mean.
        test: None where no fold is left.
        p_holm: corrected for the family it was asked in.
        interval: percentile interval over draws of the test images; None where no fold is left.
    """

    first: str
    second: str
    pairs: tuple[tuple[Name, Name], ...]
    folds: tuple[int, ...] = ()
    without: tuple[tuple[Name, Name], ...] = ()
    against: tuple[tuple[Name, Name], ...] = ()
    test: PairedTest | None = None
    p_holm: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def enough(self) -> bool:
        """Whether it has the folds for a verdict."""
        return len(self.folds) >= LEAST_FOLDS

    @property
    def settled(self) -> bool:
        """Whether the sign of the difference is settled, after Holm's correction."""
        return self.enough and self.p_holm is not None and self.p_holm < SIGNIFICANT


@dataclass(frozen=True)
class Comparer:
    """Compares the rows of a study; draws of the images are made once, for all comparisons."""

    collected: Collected
    rows: Sequence[RowScores]
    draws: int = DRAWS

    @cached_property
    def scores(self) -> Mapping[Name, Values]:
        """The macro F1 of each run of each row."""
        return {
            (row.architecture, row.scenario): {
                (cell.candidate.fold, cell.candidate.seed): np.array([value])
                for cell, value in zip(row.cells, row.by_run(MEASURE).mean(axis=1), strict=True)
            }
            for row in self.rows
        }

    @cached_property
    def resampled(self) -> Resampled:
        """The same for each draw of the test images."""
        return resample(self.collected.chosen, self.collected.split, self.draws)

    @cached_property
    def drawn(self) -> Mapping[Name, Values]:
        """Of each row: (fold, seed) -> macro F1 of each draw."""
        rows: dict[Name, dict[tuple[int, int], Floats]] = {name: {} for name in self.scores}
        for (architecture, scenario, fold, seed), values in self.resampled.f1_macro.items():
            rows[architecture, scenario][fold, seed] = values
        return rows

    def family(self, asked: Iterable[Comparison]) -> tuple[Comparison, ...]:
        """Answer comparisons, with Holm's correction over all of them."""
        done = [self.one(comparison) for comparison in asked]
        corrected = holm([one.test.p if one.test is not None and one.enough else None for one in done])
        return tuple(replace(one, p_holm=p) for one, p in zip(done, corrected, strict=True))

    def one(self, asked: Comparison) -> Comparison:
        """Answer one comparison, uncorrected."""
        by_pair = {pair: _differences(self.scores, pair) for pair in asked.pairs}
        pairs = tuple(pair for pair, found in by_pair.items() if found)
        without = tuple(pair for pair, found in by_pair.items() if not found)
        folds = tuple(sorted(set.intersection(*(set(by_pair[pair]) for pair in pairs)))) if pairs else ()
        if not folds:
            return replace(asked, without=without)
        each = np.array([[by_pair[pair][fold][0] for pair in pairs] for fold in folds])
        values = each.mean(axis=1)
        against = each.mean(axis=0) * values.mean() < 0
        drawn = [_differences(self.drawn, pair) for pair in pairs]
        draws = np.mean([[found[fold] for fold in folds] for found in drawn], axis=(0, 1))
        test = corrected_t_test(values, self._ratio(folds))
        interval = self.resampled.interval(draws)
        return replace(
            asked,
            pairs=pairs,
            without=without,
            against=tuple(pair for pair, other in zip(pairs, against, strict=True) if other),
            folds=folds,
            test=test,
            interval=interval,
        )

    def _ratio(self, folds: Sequence[int]) -> float:
        """Return test images / training images, over the folds."""
        split = self.collected.split
        tested = sum(len(split.part(fold, "test").labels) for fold in folds)
        return tested / max(1, sum(split.trained[fold] for fold in folds))


def _differences(scores: Mapping[Name, Values], pair: tuple[Name, Name]) -> dict[int, Floats]:
    """Return first minus second of each fold both have; seeds of a fold are averaged: they are no further folds."""
    first, second = (scores.get(name, {}) for name in pair)
    by_fold: dict[int, list[Floats]] = {}
    for run in first:
        if run in second:
            by_fold.setdefault(run[0], []).append(first[run] - second[run])
    return {fold: np.mean(found, axis=0) for fold, found in by_fold.items()}
