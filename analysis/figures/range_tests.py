"""Learning-rate range tests: loss against rate, with the chosen point and those that the other rules suggest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from analysis.figures.drawing.figure import Figure, file_name
from analysis.figures.drawing.legend import Sample, legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Form, Marker, Polyline, Shape, Text
from analysis.figures.registry import FIGURES, FigureSet
from analysis.figures.stage_curves import RangeTestCurve, UndrawableReasons, read_range_test
from analysis.registry.report_entry import report_entry
from analysis.results.plan_file import PlannedStage
from analysis.stats.report_data import ReportData

WIDTH, HEIGHT = 480.0, 306.0
RAW = Polyline((), "soft", 1.0, (), 0.6)
SMOOTHED = Polyline((), "accent", 2.0)
FALLBACK = Polyline((), "second", 1.4, (5.0, 4.0))
WIDE = 30.0
"""Ratio of highest to lowest rate from which the axis is logarithmic."""
CEILING = 2.5
"""A diverging loss is clipped at this multiple of the highest smoothed loss before the minimum."""
FORMS: dict[str, Form] = {"steepest": "dot", "halfway": "square", "valley": "diamond"}


@FIGURES.register("range")
@report_entry("rates", place=10)
def range_figures(data: ReportData) -> FigureSet:
    """Draw every finished range test of the plan."""
    reasons, figures = UndrawableReasons(), []
    for stage, folder in data.collected.finished("lr_range"):
        test = reasons.try_to(partial(read_range_test, folder), "the range test", folder.name)
        if test is not None:
            figures.append(_figure(stage, test))
    return FigureSet(tuple(figures), reasons.sentences())


def range_drawing(title: str, test: RangeTestCurve) -> Drawing:
    """Draw a range test.

    Args:
        title: above the drawing.
        test: its curve.
    """
    low, high = min(test.rates), max(test.rates)
    log = low > 0 and high / low >= WIDE
    across = Scale.around((*test.rates, test.learning_rate), log)
    panel = Panel(56, 82, WIDTH - 76, 174, across, _losses(test))
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    shapes += legend(4, 42, _entries(test))
    shapes += panel.frame(f"learning rate{' (logarithmic)' if log else ''}", "Loss")
    for values, style in ((test.loss, RAW), (test.smoothed, SMOOTHED)):
        shapes.append(Polyline(panel.curve(test.rates, values), style.role, style.width, opacity=style.opacity))
    shapes += _marks(panel, test)
    return Drawing(WIDTH, HEIGHT, title, in_words(test), tuple(shapes))


def in_words(test: RangeTestCurve) -> str:
    """Return which rate was chosen and why, and which the other rules suggest."""
    others = ", ".join(f"{rule} {test.rates[at]:.4g}" for rule, at in test.places.items() if rule != test.rule)
    return (
        f"Start rate {test.learning_rate:.4g} ({test.rule}): {test.reason}."
        + (f" Other rules point at: {others}." if others else "")
    ).replace("..", ".")


def _figure(stage: PlannedStage, test: RangeTestCurve) -> Figure:
    title = ", ".join(stage.row) + ("" if stage.fold is None else f", fold {stage.fold}")
    name, drawing = file_name("range", stage.name), range_drawing(title, test)
    return Figure(name, drawing, in_words(test), (test.stage,), stage.architecture)


def _losses(test: RangeTestCurve) -> Scale:
    smoothed = [value for value in test.smoothed if math.isfinite(value)] or [1.0]
    lowest = smoothed.index(min(smoothed))
    ceiling = CEILING * max(smoothed[: lowest + 1])
    return Scale.around([min(ceiling, value) for value in (*test.loss, *test.smoothed)])


def _entries(test: RangeTestCurve) -> list[tuple[Sample, str]]:
    entries: list[tuple[Sample, str]] = [(line_sample(RAW), "loss"), (line_sample(SMOOTHED), "smoothed")]
    if test.place is None:
        entries.append((line_sample(FALLBACK), "fallback"))
    else:
        entries.append((mark_sample(_chosen(0, 0, test.rule)), f"chosen: {test.rule}"))
    entries += [(mark_sample(_other(0, 0, rule)), rule) for rule in test.places if rule != test.rule]
    return entries


def _marks(panel: Panel, test: RangeTestCurve) -> Iterator[Shape]:
    for rule, at in test.places.items():
        if rule != test.rule:
            yield _other(*panel.place(test.rates[at], test.smoothed[at]), rule)
    if test.place is not None:
        yield _chosen(*panel.place(test.rates[test.place], test.smoothed[test.place]), test.rule)
    else:
        x, _ = panel.place(test.learning_rate, panel.up.low)
        yield Polyline(((x, panel.y), (x, panel.y + panel.height)), FALLBACK.role, FALLBACK.width, FALLBACK.dash)


def _chosen(x: float, y: float, rule: str) -> Marker:
    return Marker(x, y, 5.5, "second", FORMS.get(rule, "dot"))


def _other(x: float, y: float, rule: str) -> Marker:
    return Marker(x, y, 4.0, "ink", FORMS.get(rule, "dot"), hollow=True)
