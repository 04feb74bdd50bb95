"""The supplement's averaging (Glüge et al. 2024, supplement 1.1), over the chosen cells.

(i) The scores of each class, one against the rest, in each run (a fold, or a fold × seed);
(ii) mean and standard deviation of each class over the runs; (iii) the unweighted mean over the
classes of both. So the SD of a row is a mean of SDs, not the SD of the macro score.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.results.collect import Collected, LeftOut
from analysis.results.plan_file import PlannedStage
from analysis.results.verify import Cell
from trainables.arrays import Floats, Ints, Mask
from trainables.training.metrics import MEASURES, ClassScores, class_scores

DDOF = 1


@dataclass(frozen=True)
class RowScores:
    """The chosen cells of one architecture × scenario, and what their scores come to.

    Attributes:
        classes: number of classes of the study.
        planned: all cells of the plan that belong to the row.
        cells: the chosen ones, one a run.
        left_out: those that do not count.
    """

    architecture: str
    scenario: str
    classes: int
    planned: tuple[PlannedStage, ...]
    cells: tuple[Cell, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def runs(self) -> int:
        """Number of runs that count."""
        return len(self.cells)

    @property
    def planned_runs(self) -> int:
        """Number of runs (fold × seed) of the plan."""
        return len({cell.run for cell in self.planned})

    @property
    def learning_rate(self) -> str:
        """The rates used, ascending, each once, joined by ``;``."""
        return ";".join(map(rate_text, sorted({cell.result.learning_rate for cell in self.cells})))

    @cached_property
    def scores(self) -> tuple[ClassScores, ...]:
        """The test scores of each run."""
        return tuple(class_scores(cell.confusion["test"]) for cell in self.cells)

    @property
    def undefined(self) -> tuple[int, int]:
        """How many ratios were 0/0 and count as 0, and of how many (measures × classes × runs)."""
        zeros = sum(int(score.undefined.sum()) for score in self.scores)
        return zeros, len(MEASURES) * self.classes * self.runs

    @property
    def support(self) -> NDArray[np.int64]:
        """Test images of each class, shape (classes,): a fold counts once, however many seeds it has."""
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
        """Return the SD (ddof = 1) over runs of each class, shape (classes,); None of fewer than two runs."""
        return self.by_run(measure).std(axis=0, ddof=DDOF) if self.runs > DDOF else None

    def mean(self, measure: str, keep: Mask | None = None) -> float | None:
        """Return the unweighted mean over the classes (those of ``keep``, shape (classes,)) of their means."""
        return _mean(self.class_means(measure), keep)

    def std(self, measure: str, keep: Mask | None = None) -> float | None:
        """Return the unweighted mean over the classes (those of ``keep``) of their SDs."""
        return _mean(self.class_stds(measure), keep)

    def macro_std(self, measure: str, keep: Mask | None = None) -> float | None:
        """Return the SD (ddof = 1) over runs of the macro score; None with fewer than two runs."""
        if self.runs <= DDOF:
            return None
        by_run = self.by_run(measure)
        return float((by_run if keep is None else by_run[:, keep]).mean(axis=1).std(ddof=DDOF))


def row_scores(collected: Collected) -> tuple[RowScores, ...]:
    """Return a row for each architecture × scenario of the plan, in its order, those without a run too."""
    return tuple(_row(collected, *labels) for labels in collected.plan.rows)


def rate_text(rate: float) -> str:
    """Return the shortest text that reads back as the same number: 0.01, 1e-05, 1."""
    return repr(float(rate)).removesuffix(".0")


def _row(collected: Collected, architecture: str, scenario: str) -> RowScores:
    def here(stage: PlannedStage) -> bool:
        return (stage.architecture, stage.scenario) == (architecture, scenario)

    return RowScores(
        architecture,
        scenario,
        classes=len(collected.plan.classes),
        planned=tuple(cell for cell in collected.plan.cells if here(cell)),
        cells=tuple(cell for cell in collected.chosen if here(cell.planned)),
        left_out=tuple(out for out in collected.left_out if here(out.planned)),
    )


def _mean(values: Floats | None, keep: Mask | None) -> float | None:
    return None if values is None else float((values if keep is None else values[keep]).mean())


def summed(row: RowScores) -> Ints:
    """Return the test confusion matrix of a row over its runs, shape (classes, classes)."""
    total = np.zeros((row.classes, row.classes), np.int64)
    for cell in row.cells:
        total += cell.confusion["test"]
    return total
