"""Reliability diagrams: accuracy against confidence."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.figures.drawing.figure import Figure, file_name
from analysis.figures.drawing.legend import legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text
from analysis.figures.registry import FIGURES, FigureSet
from analysis.formats.number_format import value_text
from analysis.registry.report_entry import report_entry
from analysis.results.calibration import Calibration, pooled
from analysis.stats.class_averages import RowScores
from analysis.stats.report_data import ReportData

WIDTH, HEIGHT = 320.0, 324.0
PERFECT = Polyline((), "soft", 1.0, (4.0, 3.0))
LARGEST, SMALLEST = 9.0, 3.2
"""Radius of a dot, pixels."""


@FIGURES.register("reliability")
@report_entry("calibration", place=10)
def reliability_figures(data: ReportData) -> FigureSet:
    """Draw the reliability diagram of each row that has a run, its runs pooled."""
    return FigureSet(tuple(_figure(row) for row in data.rows if row.runs))


def reliability_drawing(title: str, total: Calibration) -> Drawing:
    """Draw the bins of a calibration; the area of a dot is proportional to the images in its bin.

    Args:
        title: above the drawing.
        total: counts by bin.
    """
    panel = Panel(52, 82, WIDTH - 72, 202, Scale(0, 1), Scale(0, 1))
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    dot = Marker(0, 0, 5, "accent")
    shapes += legend(4, 42, [(line_sample(PERFECT), "calibrated"), (mark_sample(dot), "bin; area: images")])
    shapes += panel.frame("mean confidence", "Accuracy")
    shapes.append(Polyline((panel.place(0, 0), panel.place(1, 1)), PERFECT.role, PERFECT.width, PERFECT.dash))
    shapes += _dots(panel, total)
    bins = ", ".join(f"{x:.2f} sure and {y:.2f} right ({images} images)" for x, y, images in _filled(total))
    return Drawing(WIDTH, HEIGHT, title, f"Bins of {total.total} test images: {bins}.", tuple(shapes))


def _figure(row: RowScores) -> Figure:
    total = pooled(cell.calibration for cell in row.cells)
    return Figure(
        file_name("reliability", *row.row),
        reliability_drawing(row.title, total),
        f"{row.runs} runs pooled: ECE {value_text(total.ece, 'score')}. The table has the mean over the runs.",
        tuple(cell.folder.name for cell in row.cells),
        row.architecture,
    )


def _filled(total: Calibration) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of images of each bin that has images."""
    return [
        (float(confidence / images), float(hits / images), int(images))
        for images, confidence, hits in zip(total.images, total.confidence, total.hits, strict=True)
        if images
    ]


def _dots(panel: Panel, total: Calibration) -> Iterator[Shape]:
    bins = _filled(total)
    if len(bins) > 1:
        yield Polyline(tuple(panel.place(x, y) for x, y, _ in bins), "accent", 1.4)
    most = max((images for *_, images in bins), default=1)
    for x, y, images in bins:
        yield Marker(*panel.place(x, y), max(SMALLEST, LARGEST * math.sqrt(images / most)), "accent")
