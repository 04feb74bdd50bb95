"""Class-averaged scores of the chosen cells (Glüge et al. 2024, supplement 1.1).

(i) The scores of each class, one against the rest, in each run (fold × seed); (ii) mean and standard deviation (SD) of
each class over the runs; (iii) the unweighted mean over the classes of both. The SD of a row is therefore a mean of SDs,
not the SD of the macro score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.formats.number_format import rate_text
from analysis.results.collect import Collected, LeftOut
from analysis.results.plan_file import PlannedStage, RowName
from analysis.results.verify import Cell
from trainables.arrays import Floats, Ints, Mask
from trainables.training.metrics import MEASURES, ClassScores, class_scores

DDOF = 1
_NAMES = {"precision": "Precision", "recall": "Recall", "f1": "F1", "mcc": "MCC"}
MEASURE_NAMES = {measure: _NAMES.get(measure, measure) for measure in MEASURES}
"""Measure -> heading of its column."""


@dataclass(frozen=True)
class RowScores:
    """The chosen cells of one architecture × scenario and their class-averaged scores.

    Measures are ``precision``, ``recall``, ``f1`` and ``mcc``; ``keep`` is a mask over the classes, shape (classes,),
    None for all of them.

    Attributes:
        architecture: label of the row; likewise ``scenario``.
        classes: number of classes of the study.
        planned: all planned cells of the row.
        cells: the chosen ones, one per run.
        left_out: the planned cells that do not count.
    """

    architecture: str
    scenario: str
    classes: int
    planned: tuple[PlannedStage, ...]
    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def row(self) -> RowName:
        """Architecture and scenario."""
        return self.architecture, self.scenario

    @property
    def title(self) -> str:
        """Architecture and scenario as text."""
        return ", ".join(self.row)

    @property
    def runs(self) -> int:
        """Number of runs that count."""
        return len(self.cells)

    @property
    def planned_runs(self) -> int:
        """Number of planned runs (fold × seed)."""
        return len({cell.run for cell in self.planned})

    @property
    def learning_rate(self) -> str:
        """The learning rates used, ascending, each once, joined by ``;``."""
        return ";".join(map(rate_text, sorted({cell.result.learning_rate for cell in self.cells})))

    @cached_property
    def scores(self) -> tuple[ClassScores, ...]:
        """The test scores of each run."""
        return tuple(class_scores(cell.confusion["test"]) for cell in self.cells)

    @property
    def undefined(self) -> tuple[int, int]:
        """Number of ratios that were 0/0 and count as 0, and number of all ratios (measures × classes × runs)."""
        zeros = sum(int(score.undefined.sum()) for score in self.scores)
        return zeros, len(MEASURES) * self.classes * self.runs

    @property
    def support(self) -> NDArray[np.int64]:
        """Test images of each class, shape (classes,); a fold counts once, however many seeds it has."""
        support = np.zeros(self.classes, np.int64)
        of_fold = {cell.stage.fold: cell.confusion["test"].sum(axis=1) for cell in self.cells}
        for counts in of_fold.values():
            support += counts
        return support

    def by_run(self, measure: str) -> Floats:
        """Return a measure of each class in each run, shape (runs, classes)."""
        values = [getattr(score, measure) for score in self.scores]
        return np.array(values, dtype=np.float64).reshape(self.runs, self.classes)

    def class_means(self, measure: str) -> Floats | None:
        """Return the mean over runs of each class, shape (classes,); None without a run."""
        return self.by_run(measure).mean(axis=0) if self.runs else None

    def class_stds(self, measure: str) -> Floats | None:
        """Return the SD (ddof = 1) over runs of each class, shape (classes,); None with fewer than two runs."""
        return self.by_run(measure).std(axis=0, ddof=DDOF) if self.runs > DDOF else None

    def mean(self, measure: str, keep: Mask | None = None) -> float | None:
        """Average the class means.

        Args:
            measure: one of the measures.
            keep: mask over the classes, shape (classes,); None: all.

        Returns:
            the unweighted mean over the classes; None without a run.
        """
        return _mean(self.class_means(measure), keep)

    def std(self, measure: str, keep: Mask | None = None) -> float | None:
        """Average the SDs of the classes.

        Args:
            measure: one of the measures.
            keep: mask over the classes, shape (classes,); None: all.

        Returns:
            the unweighted mean over the classes; None with fewer than two runs.
        """
        return _mean(self.class_stds(measure), keep)

    def macro_std(self, measure: str, keep: Mask | None = None) -> float | None:
        """Return the SD (ddof = 1) over runs of the macro score.

        Args:
            measure: one of the measures.
            keep: mask over the classes, shape (classes,); None: all.

        Returns:
            the SD; None with fewer than two runs.
        """
        if self.runs <= DDOF:
            return None
        by_run = self.by_run(measure)
        return float((by_run if keep is None else by_run[:, keep]).mean(axis=1).std(ddof=DDOF))


def row_scores(collected: Collected) -> tuple[RowScores, ...]:
    """Return the scores of each architecture × scenario of the plan, in its order; rows without a run are included."""
    return tuple(_row(collected, row) for row in collected.plan.rows)


def summed_confusion(row: RowScores) -> Ints:
    """Return the test confusion matrix of a row, summed over its runs: shape (classes, classes), rows true."""
    total = np.zeros((row.classes, row.classes), np.int64)
    for cell in row.cells:
        total += cell.confusion["test"]
    return total


def _row(collected: Collected, row: RowName) -> RowScores:
    return RowScores(
        *row,
        classes=len(collected.plan.classes),
        planned=tuple(cell for cell in collected.plan.cells if cell.row == row),
        cells=tuple(collected.chosen_by_row.get(row, ())),
        left_out=tuple(out for out in collected.left_out if out.planned.row == row),
    )


def _mean(values: Floats | None, keep: Mask | None) -> float | None:
    return None if values is None else float((values if keep is None else values[keep]).mean())
