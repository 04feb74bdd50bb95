"""Mean F1 of each class in each row of the study, as one heat map."""

from __future__ import annotations

from analysis.figures.drawing.figure import Figure
from analysis.figures.heatmap import ShareMatrix, heat_drawing
from analysis.figures.registry import FIGURES, FigureSet
from analysis.registry.report_entry import report_entry
from analysis.stats.report_data import ReportData

LONGEST_ROW = 44
"""Characters of a row's name that are shown."""


@FIGURES.register("classes-f1")
@report_entry("classes", place=10)
def class_f1_figure(data: ReportData) -> FigureSet:
    """Draw the mean F1 of each class in each row that has a run."""
    rows = [row for row in data.rows if row.runs]
    if not rows:
        return FigureSet(())
    classes = data.collected.plan.classes
    names = [row.title for row in rows]
    means = [row.by_run("f1").mean(axis=0).tolist() for row in rows]
    in_words = "; ".join(
        f"{name}: {', '.join(f'{label} {value:.2f}' for label, value in zip(classes, values, strict=True))}"
        for name, values in zip(names, means, strict=True)
    )
    matrix = ShareMatrix(names, classes, means, ("architecture, scenario", "class"), "F1")
    drawing = heat_drawing("F1 of each class, mean over the runs", f"{in_words}.", matrix, LONGEST_ROW)
    sources = tuple(cell.folder.name for row in rows for cell in row.cells)
    return FigureSet((Figure("classes-f1", drawing, "An empty place: an F1 below 0.005.", sources),))
