"""Learning curves: loss and macro F1 of train and val, the folds of a row drawn together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from analysis.figures.drawing.legend import legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text
from analysis.figures.stage_curves import SPLITS, History

WIDTH, HEIGHT = 572.0, 264.0
# Dashed against solid, thin against thick: colour is not needed to tell them apart.
STYLES = {
    "train": Polyline((), "soft", 1.1, (4.0, 3.0), 0.85),
    "val": Polyline((), "accent", 1.6, (), 0.85),
}
WIDE = 15.0
"""From so many times the lowest loss on, the axis is logarithmic: a first peak would hide all that follows."""
CHOSEN = Marker(0, 0, 4.0, "second")


def curves_drawing(title: str, histories: Sequence[History]) -> Drawing:
    """Draw the histories of one row (at least one)."""
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    entries = [(line_sample(STYLES[name]), name) for name in SPLITS]
    if any(one.chosen is not None for one in histories):
        entries.append((mark_sample(CHOSEN), "epoch chosen on val"))
    shapes += legend(4, 42, entries)
    last = max((epoch for one in histories for found in one.epochs.values() for epoch in found), default=0.0)
    across = Scale(0, max(last, 1.0))
    for place, (name, heading) in enumerate((("loss", "Loss"), ("f1", "Macro F1"))):
        panel = Panel(52 + place * 282, 76, 222, 148, across, _scale(name, histories))
        shapes += panel.frame("epoch, from 0", heading + (" (logarithmic)" if panel.up.log else ""), whole=True)
        shapes += _lines(panel, histories, name)
    return Drawing(WIDTH, HEIGHT, title, _told(histories), tuple(shapes))


def _scale(name: str, histories: Sequence[History]) -> Scale:
    if name == "f1":
        return Scale(0, 1)
    losses = [value for one in histories for found in one.loss.values() for value in found]
    above = [value for value in losses if value > 0]
    if above and max(above) >= WIDE * min(above):
        return Scale.around(above, log=True)
    return Scale.around([0.0, *losses])


def _lines(panel: Panel, histories: Sequence[History], name: str) -> Iterator[Shape]:
    for part in SPLITS:
        style = STYLES[part]
        for one in histories:
            points = panel.curve(one.epochs[part], getattr(one, name)[part])
            if len(points) > 1:
                yield Polyline(points, style.role, style.width, style.dash, style.opacity)
            elif points:  # one epoch has no line
                yield Marker(*points[0], 2.5, style.role, hollow=part == "train")
    for one in histories:
        value = _at(one, name)
        if one.chosen is not None and value is not None:
            x, y = panel.place(one.chosen, value)
            yield Marker(x, y, CHOSEN.radius, CHOSEN.role)


def _at(one: History, name: str) -> float | None:
    """Return the val value at the chosen epoch."""
    found = dict(zip(one.epochs["val"], getattr(one, name)["val"], strict=True))
    value = found.get(float(one.chosen)) if one.chosen is not None else None
    return value if value is not None and math.isfinite(value) else None


def _told(histories: Sequence[History]) -> str:
    parts = []
    for one in histories:
        f1, loss = _at(one, "f1"), _at(one, "loss")
        end = f"{len(one.epochs['train'])} epochs"
        if one.chosen is not None and f1 is not None and loss is not None:
            end += f", epoch {one.chosen} chosen with val macro F1 {f1:.3f} and val loss {loss:.3g}"
        parts.append(f"{one.label}: {end}")
    return "; ".join(parts) + "."
