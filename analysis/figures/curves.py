"""Learning curves: loss and macro F1 of train and val, the folds of a row in one drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from analysis.figures.drawing.figure import Figure, file_name
from analysis.figures.drawing.legend import legend, line_sample, mark_sample
from analysis.figures.drawing.scales import Panel, Scale
from analysis.figures.drawing.shapes import Drawing, Marker, Polyline, Shape, Text
from analysis.figures.registry import FIGURES, FigureSet
from analysis.figures.stage_curves import SPLITS, History, UndrawableReasons, read_history
from analysis.registry.report_entry import report_entry
from analysis.results.collect import Collected
from analysis.stats.report_data import ReportData

WIDTH, HEIGHT = 572.0, 264.0
# Dashed and thin against solid and thick: readable without colour.
STYLES = {
    "train": Polyline((), "soft", 1.1, (4.0, 3.0), 0.85),
    "val": Polyline((), "accent", 1.6, (), 0.85),
}
WIDE = 15.0
"""Ratio of highest to lowest loss from which the axis is logarithmic: an initial peak would hide the rest."""
CHOSEN = Marker(0, 0, 4.0, "second")


@FIGURES.register("curves")
@report_entry("curves", place=10)
def curve_figures(data: ReportData) -> FigureSet:
    """Draw the learning curves of the chosen cells of each row, and of each pre-training."""
    reasons = UndrawableReasons()
    figures = (*_fine_tuned(data.collected, reasons), *_pretrained(data.collected, reasons))
    return FigureSet(figures, reasons.sentences())


def curves_drawing(title: str, histories: Sequence[History]) -> Drawing:
    """Draw histories, two panels: loss and macro F1.

    Args:
        title: above the drawing.
        histories: at least one.
    """
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    entries = [(line_sample(STYLES[name]), name) for name in SPLITS]
    if any(one.chosen is not None for one in histories):
        entries.append((mark_sample(CHOSEN), "epoch chosen on val"))
    shapes += legend(4, 42, entries)
    last = max((epoch for one in histories for found in one.epochs.values() for epoch in found), default=0.0)
    across = Scale(0, max(last, 1.0))
    for place, (name, heading) in enumerate((("loss", "Loss"), ("f1", "Macro F1"))):
        panel = Panel(52 + place * 282, 76, 222, 148, across, _scale(name, histories))
        shapes += panel.frame("epoch, from 0", heading + (" (logarithmic)" if panel.up.log else ""), integers=True)
        shapes += _lines(panel, histories, name)
    return Drawing(WIDTH, HEIGHT, title, _in_words(histories), tuple(shapes))


def _fine_tuned(collected: Collected, reasons: UndrawableReasons) -> Iterator[Figure]:
    seeds = len({cell.planned.seed for cell in collected.chosen}) > 1
    for architecture, scenario in collected.plan.rows:
        read = []
        for cell in collected.chosen_by_row.get((architecture, scenario), ()):
            label = f"fold {cell.planned.fold}" + (f", seed {cell.planned.seed}" if seeds else "")
            result = {"digests": cell.result.digests, "selected_epoch": cell.result.selected_epoch}
            history = partial(read_history, cell.folder, result, label)
            read.append(reasons.try_to(history, "the history", cell.folder.name))
        if histories := [one for one in read if one is not None]:
            name = file_name("curves", architecture, scenario)
            yield _figure(name, f"{architecture}, {scenario}: fine-tuning", histories, architecture)


def _pretrained(collected: Collected, reasons: UndrawableReasons) -> Iterator[Figure]:
    for stage, folder in collected.finished("pretrain"):
        history = partial(read_history, folder, folder.result() or {}, f"seed {stage.seed}")
        one = reasons.try_to(history, "the history", folder.name)
        if one is not None:
            title = f"{stage.architecture}, {stage.scenario}: pre-training"
            yield _figure(file_name("curves-pretrain", stage.name), title, [one], "Pre-training")


def _figure(name: str, title: str, histories: Sequence[History], group: str) -> Figure:
    caption = _listed([one.label for one in histories])
    return Figure(name, curves_drawing(title, histories), caption, tuple(one.stage for one in histories), group)


def _listed(labels: Sequence[str]) -> str:
    """Return ``Folds 0, 1, 2.`` for labels that begin alike, else the labels."""
    first = labels[0].partition(" ")[0]
    if len(labels) > 1 and all(label.startswith(f"{first} ") and "," not in label for label in labels):
        return f"{first.capitalize()}s {', '.join(label.removeprefix(f'{first} ') for label in labels)}."
    return f"{'; '.join(labels).capitalize()}."


def _scale(name: str, histories: Sequence[History]) -> Scale:
    if name == "f1":
        return Scale(0, 1)
    losses = [value for one in histories for found in one.loss.values() for value in found]
    positive = [value for value in losses if value > 0]
    if positive and max(positive) >= WIDE * min(positive):
        return Scale.around(positive, log=True)
    return Scale.around([0.0, *losses])


def _lines(panel: Panel, histories: Sequence[History], name: str) -> Iterator[Shape]:
    for part in SPLITS:
        style = STYLES[part]
        for one in histories:
            points = panel.curve(one.epochs[part], getattr(one, name)[part])
            if len(points) > 1:
                yield Polyline(points, style.role, style.width, style.dash, style.opacity)
            elif points:  # a single epoch has no line
                yield Marker(*points[0], 2.5, style.role, hollow=part == "train")
    for one in histories:
        value = _at_chosen(one, name)
        if one.chosen is not None and value is not None:
            x, y = panel.place(one.chosen, value)
            yield Marker(x, y, CHOSEN.radius, CHOSEN.role)


def _at_chosen(one: History, name: str) -> float | None:
    """Return the val value at the chosen epoch."""
    found = dict(zip(one.epochs["val"], getattr(one, name)["val"], strict=True))
    value = found.get(float(one.chosen)) if one.chosen is not None else None
    return value if value is not None and math.isfinite(value) else None


def _in_words(histories: Sequence[History]) -> str:
    parts = []
    for one in histories:
        f1, loss = _at_chosen(one, "f1"), _at_chosen(one, "loss")
        end = f"{len(one.epochs['train'])} epochs"
        if one.chosen is not None and f1 is not None and loss is not None:
            end += f", epoch {one.chosen} chosen with val macro F1 {f1:.3f} and val loss {loss:.3g}"
        parts.append(f"{one.label}: {end}")
    return "; ".join(parts) + "."
