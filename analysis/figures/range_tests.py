"""Range tests: loss and smoothed loss against the rate, the chosen point, and where the other rules point."""

from __future__ import annotations

import math
from collections.abc import Iterator

from analysis.figures.drawing.legend import Sample, legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Form, Marker, Polyline, Shape, Text
from analysis.figures.stage_curves import RangeTestCurve

WIDTH, HEIGHT = 480.0, 306.0
RAW = Polyline((), "soft", 1.0, (), 0.6)
SMOOTHED = Polyline((), "accent", 2.0)
WIDE = 30.0
"""From so many times the lowest rate on, the axis is logarithmic."""
CEILING = 2.5
"""A diverging loss is cut at so many times the highest smoothed loss before the minimum."""
FORMS: dict[str, Form] = {"steepest": "dot", "halfway": "square", "valley": "diamond"}


def range_drawing(title: str, test: RangeTestCurve) -> Drawing:
    """Draw a range test."""
    low, high = min(test.rates), max(test.rates)
    log = low > 0 and high / low >= WIDE
    reach = (*test.rates, test.learning_rate)
    panel = Panel(56, 82, WIDTH - 76, 174, Scale.around(reach, log), _losses(test))
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    shapes += legend(4, 42, _entries(test))
    shapes += panel.frame(f"learning rate{' (logarithmic)' if log else ''}", "Loss")
    for values, style in ((test.loss, RAW), (test.smoothed, SMOOTHED)):
        shapes.append(
            Polyline(panel.curve(test.rates, values), style.role, style.width, opacity=style.opacity),
        )
    shapes += _marks(panel, test)
    return Drawing(WIDTH, HEIGHT, title, told(test), tuple(shapes))


def told(test: RangeTestCurve) -> str:
    """Say which rate was chosen and why, and where the other rules point."""
    others = ", ".join(f"{rule} {test.rates[at]:.4g}" for rule, at in test.places.items() if rule != test.rule)
    return (
        f"Start rate {test.learning_rate:.4g} ({test.rule}): {test.reason}."
        + (f" Other rules point at: {others}." if others else "")
    ).replace("..", ".")


def _losses(test: RangeTestCurve) -> Scale:
    smoothed = [value for value in test.smoothed if math.isfinite(value)] or [1.0]
    lowest = smoothed.index(min(smoothed))
    ceiling = CEILING * max(smoothed[: lowest + 1])
    return Scale.around([min(ceiling, value) for value in (*test.loss, *test.smoothed)])


def _entries(test: RangeTestCurve) -> list[tuple[Sample, str]]:
    entries: list[tuple[Sample, str]] = [(line_sample(RAW), "loss"), (line_sample(SMOOTHED), "smoothed")]
    if test.place is None:
        entries.append((line_sample(Polyline((), "second", 1.4, (5.0, 4.0))), "fallback"))
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
        yield Polyline(((x, panel.y), (x, panel.y + panel.height)), "second", 1.4, (5.0, 4.0))


def _chosen(x: float, y: float, rule: str) -> Marker:
    return Marker(x, y, 5.5, "second", FORMS.get(rule, "dot"))


def _other(x: float, y: float, rule: str) -> Marker:
    return Marker(x, y, 4.0, "ink", FORMS.get(rule, "dot"), hollow=True)
