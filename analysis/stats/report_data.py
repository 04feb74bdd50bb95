"""What the tables and figures of a report are made from, each part computed once and only if needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from analysis.results.collect import Collected
from analysis.results.grid_file import Domain
from analysis.stats.class_averages import RowScores, row_scores
from analysis.stats.comparisons import Comparer
from analysis.stats.findings import Finding, all_findings

LEAST_SUPPORT = 50
"""A class with fewer images over all folds counts as rare: with five folds, fewer than ten test images per fold."""


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        least_support: classes with fewer images count as rare.
        domains: data set -> ``in`` or ``out`` of the target's domain; overrides what names say.
    """

    least_support: int = LEAST_SUPPORT
    domains: Mapping[str, Domain] | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything that an entry of the report may use.

    Attributes:
        collected: the study: plan, split, verified cells, and the cells left out.
        options: of the report.
    """

    collected: Collected
    options: ReportOptions = ReportOptions()

    @cached_property
    def rows(self) -> tuple[RowScores, ...]:
        """The scores of each architecture × scenario, in the order of the plan."""
        return row_scores(self.collected)

    @cached_property
    def comparer(self) -> Comparer:
        """Compares rows, with the bootstrap draws of the test images."""
        return Comparer(self.collected, self.rows)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The research questions with their answers."""
        return all_findings(self.comparer, self.options.domains)
