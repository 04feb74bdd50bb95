"""The comparisons of the questions as intervals about no difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.figures.drawing.scales import Panel, Scale, tick_text
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text, width_of
from analysis.formats.number_format import value_text
from analysis.stats.comparisons import Comparison

STEP = 26.0
WIDTH = 260.0
"""Of the diagram between the names and the figures."""


def differences_drawing(title: str, family: Sequence[Comparison]) -> Drawing | None:
    """Draw the tested comparisons of one question; None where there is none."""
    tested = [one for one in family if one.test is not None]
    if not tested:
        return None
    names = [f"{one.first} − {one.second}" for one in tested]
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
    for place, (name, one) in enumerate(zip(names, tested, strict=True)):
        shapes += _line(panel, panel.y + (place + 0.5) * STEP, name, one)
    return Drawing(max(left + WIDTH + 130, width_of(title, 13) + 30), bottom + 48, title, _told(tested), tuple(shapes))


def verdict(one: Comparison) -> str:
    """Return settled, not settled, or too few folds."""
    return "settled" if one.settled else "not settled" if one.enough else "too few folds"


def _scale(tested: Sequence[Comparison]) -> Scale:
    tests = [one.test for one in tested if one.test is not None]
    ends = [end for test in tests for end in (test.mean, test.low, test.high) if end is not None]
    return Scale.around([0.0, *ends])


def _line(panel: Panel, y: float, name: str, one: Comparison) -> Iterator[Shape]:
    test = one.test
    if test is None:
        return
    yield Text(panel.x - 10, y + 4, name, "ink", 11, "end")
    if test.low is not None and test.high is not None:
        ends = (panel.place(test.low, 0)[0], panel.place(test.high, 0)[0])
        yield Polyline(((ends[0], y), (ends[1], y)), "accent", 2)
        yield from (Polyline(((x, y - 4), (x, y + 4)), "accent", 2) for x in ends)
    yield Marker(panel.place(test.mean, 0)[0], y, 5, "accent", hollow=not one.settled)
    yield Text(panel.x + WIDTH + 10, y + 4, f"{value_text(test.mean, 'score')}, {verdict(one)}", "soft")


def _told(tested: Sequence[Comparison]) -> str:
    said = []
    for one in tested:
        if one.test is not None:
            low, high = (value_text(end, "score") for end in (one.test.low, one.test.high))
            mean = value_text(one.test.mean, "score")
            said.append(f"{one.first} minus {one.second}: {mean}, {low} to {high}, {verdict(one)}")
    return "; ".join(said) + "."
