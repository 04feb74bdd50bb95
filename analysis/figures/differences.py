"""The comparisons of each finding as confidence intervals around zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.figures.drawing.figure import Figure, file_name
from analysis.figures.drawing.scales import Panel, Scale, tick_text
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text, width_of
from analysis.figures.registry import FIGURES, FigureSet
from analysis.formats.number_format import value_text
from analysis.registry.report_entry import report_entry
from analysis.stats.comparisons import Comparison
from analysis.stats.paired_tests import PairedTest
from analysis.stats.report_data import ReportData

STEP = 26.0
"""Height of a line, pixels."""
WIDTH = 260.0
"""Width of the diagram between names and values, pixels."""
Tested = Sequence[tuple[Comparison, PairedTest]]


@FIGURES.register("differences")
@report_entry("comparisons", place=10)
def difference_figures(data: ReportData) -> FigureSet:
    """Draw the comparisons of each finding that has a test."""
    caption = "Filled: settled after Holm's correction; hollow: not. Intervals are not corrected."
    drawn = ((one.name, differences_drawing(one.question, one.comparisons)) for one in data.findings)
    return FigureSet(
        tuple(
            Figure(file_name("differences", name), drawing, caption) for name, drawing in drawn if drawing is not None
        )
    )


def differences_drawing(title: str, family: Sequence[Comparison]) -> Drawing | None:
    """Draw the tested comparisons of a family.

    Args:
        title: above the drawing.
        family: comparisons with a common Holm correction.

    Returns:
        the drawing; None where no comparison has a test.
    """
    tested = [(one, one.test) for one in family if one.test is not None]
    if not tested:
        return None
    names = [f"{one.first} − {one.second}" for one, _ in tested]
    left = 20 + max(width_of(name, 11) for name in names)
    panel = Panel(left, 40, WIDTH, len(tested) * STEP, _scale(tested), Scale(0, 1))
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    bottom = panel.y + panel.height
    for value in panel.across.ticks():
        x, _ = panel.place(value, 0)
        zero = abs(value) < 1e-12
        rule = Polyline(((x, panel.y), (x, bottom)), "soft" if zero else "line", 1.4 if zero else 1.0)
        shapes += [rule, Text(x, bottom + 16, tick_text(value), "soft", anchor="middle")]
    shapes.append(Text(left + WIDTH / 2, bottom + 34, "difference in macro F1, 95 % interval", anchor="middle"))
    for place, (name, (one, test)) in enumerate(zip(names, tested, strict=True)):
        y = panel.y + (place + 0.5) * STEP
        shapes.append(Text(panel.x - 10, y + 4, name, "ink", 11, "end"))
        shapes += _interval(panel, y, one, test)
    width = max(left + WIDTH + 130, width_of(title, 13) + 30)
    return Drawing(width, bottom + 48, title, _in_words(tested), tuple(shapes))


def verdict(one: Comparison) -> str:
    """Return ``settled``, ``not settled`` or ``too few folds``."""
    return "settled" if one.settled else "not settled" if one.enough else "too few folds"


def _scale(tested: Tested) -> Scale:
    ends = [end for _, test in tested for end in (test.mean, test.low, test.high) if end is not None]
    return Scale.around([0.0, *ends])


def _interval(panel: Panel, y: float, one: Comparison, test: PairedTest) -> Iterator[Shape]:
    if test.low is not None and test.high is not None:
        ends = (panel.place(test.low, 0)[0], panel.place(test.high, 0)[0])
        yield Polyline(((ends[0], y), (ends[1], y)), "accent", 2)
        yield from (Polyline(((x, y - 4), (x, y + 4)), "accent", 2) for x in ends)
    yield Marker(panel.place(test.mean, 0)[0], y, 5, "accent", hollow=not one.settled)
    yield Text(panel.x + WIDTH + 10, y + 4, f"{value_text(test.mean, 'score')}, {verdict(one)}", "soft")


def _in_words(tested: Tested) -> str:
    parts = []
    for one, test in tested:
        mean, low, high = (value_text(value, "score") for value in (test.mean, test.low, test.high))
        parts.append(f"{one.first} minus {one.second}: {mean}, {low} to {high}, {verdict(one)}")
    return "; ".join(parts) + "."
