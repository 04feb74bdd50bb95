"""The figures of the report.

A new one is a function in a file of this package, with two decorators::

    @FIGURES.register("my_figure")
    @report_entry("classes", place=20)
    def my_figures(data: ReportData) -> FigureSet: ...

Another distribution uses ``report_entry`` alone and publishes the result in the entry-point group
``scenario_sweep.figures``.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.figures.drawing.figure import Figure
from analysis.registry.report_entry import ReportEntry
from analysis.stats.report_data import ReportData
from trainables.registry import Registry


@dataclass(frozen=True)
class FigureSet:
    """The figures that one entry makes of a study.

    Attributes:
        figures: in the order of the page.
        missing: one sentence for each reason why a figure could not be drawn.
    """

    figures: tuple[Figure, ...]
    missing: tuple[str, ...] = ()


FigureEntry = ReportEntry[ReportData, FigureSet]
FIGURES: Registry[FigureEntry] = Registry("figure", "figures", "analysis.figures")
