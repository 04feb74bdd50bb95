"""Which trained networks are explained, and which of their test images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.explain.records.records import Why
from analysis.results.collect import Collected
from analysis.results.predictions import Predictions, read_predictions, softmax
from analysis.results.verify import Cell
from trainables.errors import UserError, suggestion
from trainables.hashing import derive_seed
from trainables.store import layout

CONFIDENT: tuple[Why, Why] = ("confident and right", "confident and wrong")
DRAWN: Why = "drawn at random"


@dataclass(frozen=True)
class SampledImage:
    """A test image to explain: the map is that of the class ``explained``, the predicted one."""

    image_id: str
    label: int | None
    explained: int
    probability: float
    why: Why


def best_cells(collected: Collected, architectures: Sequence[str], scenarios: Sequence[str]) -> list[Cell]:
    """Return for each architecture × scenario asked for the trial with the best val score.

    Without any name: of the row with the best mean val score of its chosen cells, alone.

    Raises:
        UserError: if a name is unknown, or nothing of what was asked for has a verified result.
    """
    _refuse_unknown("architecture", architectures, (row[0] for row in collected.plan.rows))
    _refuse_unknown("scenario", scenarios, (row[1] for row in collected.plan.rows))
    rows = defaultdict(list)
    for cell in collected.chosen:
        rows[cell.planned.architecture, cell.planned.scenario].append(cell)
    wanted = {
        row: cells
        for row, cells in rows.items()
        if (not architectures or row[0] in architectures) and (not scenarios or row[1] in scenarios)
    }
    if not wanted:
        raise UserError(
            f"nothing to explain: {len(collected.left_out)} planned cells do not count"
            + "".join(f"; {one.name}: {one.reason}" for one in collected.left_out[:3])
        )
    if not architectures and not scenarios:
        best = max(wanted, key=lambda row: float(np.mean([cell.candidate.val_f1_macro for cell in wanted[row]])))
        wanted = {best: wanted[best]}
    return [max(cells, key=lambda cell: cell.candidate.val_f1_macro) for cells in wanted.values()]


def test_predictions(cell: Cell) -> Predictions:
    """Return what a verified cell said of its test images."""
    content = cell.folder.read_verified(layout.PREDICTIONS, {"digests": cell.result.digests})
    return read_predictions(content, len(cell.result.classes))["test"]


def pick(said: Predictions, of_class: int, count: int, seed: str) -> list[SampledImage]:
    """Choose test images of a class: the most confident right and wrong ones, and some drawn of the others.

    Args:
        said: logits of all test images.
        of_class: the true class.
        count: how many of each kind, at most.
        seed: any text; the draw depends on it and the class alone.
    """
    probability = softmax(said.logits, np.float64)
    predicted = probability.argmax(1)
    rows = np.flatnonzero(said.labels == of_class)
    by_confidence = rows[np.argsort(-probability[rows, predicted[rows]], kind="stable")]
    right = by_confidence[predicted[by_confidence] == of_class][:count]
    wrong = by_confidence[predicted[by_confidence] != of_class][:count]
    others = np.setdiff1d(rows, [*right, *wrong])
    rng = np.random.default_rng(derive_seed("explain", seed, of_class))
    drawn = rng.permutation(others)[:count]
    return [
        SampledImage(
            str(said.image_ids[int(row)]), of_class, int(predicted[row]), float(probability[row, predicted[row]]), why
        )
        for why, some in zip((*CONFIDENT, DRAWN), (right, wrong, drawn), strict=True)
        for row in some
    ]


def class_numbers(classes: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the indices of the classes of those names; of all where none is given.

    Raises:
        UserError: if a name is unknown.
    """
    _refuse_unknown("class", names, classes)
    return [number for number, name in enumerate(classes) if not names or name in names]


def _refuse_unknown(what: str, names: Sequence[str], known: Iterable[str]) -> None:
    valid = list(dict.fromkeys(known))
    faults = [
        f"unknown {what} {name}{suggestion(name, valid)} (the study has {', '.join(valid)})"
        for name in names
        if name not in valid
    ]
    if faults:
        raise UserError(faults)
