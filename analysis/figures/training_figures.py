"""The figures of training: learning curves and range tests; each with the stage folders behind it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from analysis.figures.curves import curves_drawing
from analysis.figures.drawing.figure import Figure, distinct, file_name
from analysis.figures.range_tests import range_drawing, told
from analysis.figures.stage_curves import History, UndrawableReasons, history, range_test
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage
from trainables.store.study import StageFolder


def curve_figures(collected: Collected) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Draw the learning curves of the chosen cells of each row, and of each pre-training; say what cannot be drawn."""
    faults = UndrawableReasons()
    figures = [*_fine_tuned(collected, faults), *_pretrained(collected, faults)]
    return distinct(figures), faults.sentences()


def range_figures(collected: Collected) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Draw every finished range test of the plan; say what cannot be drawn."""
    faults, figures = UndrawableReasons(), []
    for stage, folder in _finished(collected, "lr_range"):
        test = faults.try_to(partial(range_test, folder), "the range test", folder.name)
        if test is not None:
            title = f"{stage.architecture}, {stage.scenario}" + ("" if stage.fold is None else f", fold {stage.fold}")
            figures.append(
                Figure(
                    file_name("range", stage.name),
                    range_drawing(title, test),
                    told(test),
                    (test.stage,),
                    stage.architecture,
                )
            )
    return distinct(figures), faults.sentences()


def _fine_tuned(collected: Collected, faults: UndrawableReasons) -> Iterator[Figure]:
    seeds = len({cell.planned.seed for cell in collected.chosen}) > 1
    for architecture, scenario in collected.plan.rows:
        drawn = []
        for cell in collected.chosen:
            if (cell.planned.architecture, cell.planned.scenario) == (architecture, scenario):
                label = f"fold {cell.planned.fold}" + (f", seed {cell.planned.seed}" if seeds else "")
                result = cell.result
                read = partial(history, cell.folder, result.digests, result.selected_epoch, label)
                drawn.append(faults.try_to(read, "the history", cell.folder.name))
        found = [one for one in drawn if one is not None]
        if found:
            title, name = f"{architecture}, {scenario}: fine-tuning", ("curves", architecture, scenario)
            yield _curves(title, name, found, architecture)


def _pretrained(collected: Collected, faults: UndrawableReasons) -> Iterator[Figure]:
    for stage, folder in _finished(collected, "pretrain"):
        result = folder.result() or {}
        read = partial(history, folder, result.get("digests", {}), result.get("selected_epoch"), f"seed {stage.seed}")
        one = faults.try_to(read, "the history", folder.name)
        if one is not None:
            title = f"{stage.architecture}, {stage.scenario}: pre-training"
            yield _curves(title, ("curves-pretrain", stage.name), [one], "Pre-training")


def _curves(title: str, name: tuple[str, ...], drawn: list[History], group: str) -> Figure:
    caption = _listed([one.label for one in drawn])
    return Figure(file_name(*name), curves_drawing(title, drawn), caption, tuple(one.stage for one in drawn), group)


def _listed(labels: list[str]) -> str:
    """Return ``Folds 0, 1, 2.`` of labels that begin alike, else the labels."""
    first = labels[0].partition(" ")[0]
    if len(labels) > 1 and all(label.startswith(f"{first} ") and "," not in label for label in labels):
        return f"{first.capitalize()}s {', '.join(label.removeprefix(f'{first} ') for label in labels)}."
    return f"{'; '.join(labels).capitalize()}."


def _finished(collected: Collected, kind: str) -> Iterator[tuple[PlannedStage, StageFolder]]:
    for stage in collected.plan.stages:
        folder = collected.progress.folder(stage.key)
        if stage.kind == kind and folder is not None and collected.progress.state(stage) == "done":
            yield stage, folder
