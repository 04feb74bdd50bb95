"""Confusion matrices, one per row of the study, as heat maps of the fraction of each true class."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.figures.drawing.figure import Figure, file_name
from analysis.figures.heatmap import ShareMatrix, heat_drawing
from analysis.figures.registry import FIGURES, FigureSet
from analysis.registry.report_entry import report_entry
from analysis.stats.class_averages import RowScores, summed_confusion
from analysis.stats.report_data import ReportData
from trainables.arrays import Ints


@FIGURES.register("confusion")
@report_entry("confusion", place=10)
def confusion_figures(data: ReportData) -> FigureSet:
    """Draw the confusion matrix of each row that has a run, summed over its runs."""
    classes = data.collected.plan.classes
    return FigureSet(tuple(_figure(row, classes) for row in data.rows if row.runs))


def _figure(row: RowScores, classes: Sequence[str]) -> Figure:
    counts = summed_confusion(row)
    totals = counts.sum(axis=1).tolist()
    matrix = ShareMatrix(
        lines=[f"{name[:16]} {total:,}" for name, total in zip(classes, totals, strict=True)],
        columns=classes,
        shares=[
            (line / total).tolist() if total else [None] * len(line) for line, total in zip(counts, totals, strict=True)
        ],
        axes=("true class, test images", "predicted class"),
        unit="of the true class",
    )
    return Figure(
        file_name("confusion", *row.row),
        heat_drawing(row.title, _mistakes(classes, counts), matrix),
        f"Summed over {row.runs} runs; per cent of each line.",
        tuple(cell.folder.name for cell in row.cells),
        row.architecture,
    )


def _mistakes(classes: Sequence[str], counts: Ints) -> str:
    """Return the recall of each class and its most frequent mistake, in words."""
    parts = []
    for place, name in enumerate(classes):
        total = counts[place].sum()
        if not total:
            parts.append(f"{name}: no test image")
            continue
        others = counts[place].copy()
        others[place] = 0
        worst = int(others.argmax())
        mistake = f", most often taken for {classes[worst]}" if others[worst] else ""
        parts.append(f"{name}: {counts[place, place] / total:.0%} right{mistake}")
    return "; ".join(parts) + "."
