"""Reliability diagrams: how often the net is right, against how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.figures.drawing.legend import legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text
from analysis.results.calibration import Calibration

WIDTH, HEIGHT = 320.0, 324.0
PERFECT = Polyline((), "soft", 1.0, (4.0, 3.0))
LARGEST, SMALLEST = 9.0, 3.2


def reliability_drawing(title: str, total: Calibration) -> Drawing:
    """Draw the bins of some images; the area of a dot grows with the images in its bin."""
    panel = Panel(52, 82, WIDTH - 72, 202, Scale(0, 1), Scale(0, 1))
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    dot = Marker(0, 0, 5, "accent")
    shapes += legend(4, 42, [(line_sample(PERFECT), "calibrated"), (mark_sample(dot), "bin; area: images")])
    shapes += panel.frame("mean confidence", "Accuracy")
    shapes.append(Polyline((panel.place(0, 0), panel.place(1, 1)), PERFECT.role, PERFECT.width, PERFECT.dash))
    shapes += _bins(panel, total)
    return Drawing(WIDTH, HEIGHT, title, _told(total), tuple(shapes))


def _filled(total: Calibration) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and images of each bin that has images."""
    return [
        (float(confidence / images), float(hits / images), int(images))
        for images, confidence, hits in zip(total.images, total.confidence, total.hits, strict=True)
        if images
    ]


def _bins(panel: Panel, total: Calibration) -> Iterator[Shape]:
    bins = _filled(total)
    if len(bins) > 1:
        yield Polyline(tuple(panel.place(x, y) for x, y, _ in bins), "accent", 1.4)
    most = max((images for *_, images in bins), default=1)
    for x, y, images in bins:
        yield Marker(*panel.place(x, y), max(SMALLEST, LARGEST * math.sqrt(images / most)), "accent")


def _told(total: Calibration) -> str:
    bins = ", ".join(f"{x:.2f} sure and {y:.2f} right ({images} images)" for x, y, images in _filled(total))
    return f"Bins of {total.total} test images: {bins}."
