"""Which trained networks are explained, and which of their test images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.explain.records.records import Why
from analysis.results.collect import Collected, best_row
from analysis.results.predictions import Predictions, read_predictions, softmax
from analysis.results.verify import Cell
from trainables.errors import UserError, suggestion
from trainables.hashing import derive_seed
from trainables.store import layout

CONFIDENT: tuple[Why, Why] = ("confident and right", "confident and wrong")
RANDOM_SAMPLE: Why = "drawn at random"


@dataclass(frozen=True)
class SampledImage:
    """An image to explain.

    Attributes:
        image_id: of the image.
        label: true class, or None where it is unknown.
        explained: the class to explain: the predicted one.
        probability: of this class.
        why: why the image was selected.
    """

    image_id: str
    label: int | None
    explained: int
    probability: float
    why: Why


def best_cells(collected: Collected, architectures: Sequence[str], scenarios: Sequence[str]) -> list[Cell]:
    """Return the cell with the best val score of each requested row.

    Args:
        collected: the study.
        architectures: names; empty: all.
        scenarios: names; empty: all. Without any name, only the row with the best mean val score is taken.

    Raises:
        UserError: if a name is unknown, or no requested row has a verified result.
    """
    _refuse_unknown("architecture", architectures, (row[0] for row in collected.plan.rows))
    _refuse_unknown("scenario", scenarios, (row[1] for row in collected.plan.rows))
    rows = {
        row: cells
        for row, cells in collected.chosen_by_row.items()
        if (not architectures or row[0] in architectures) and (not scenarios or row[1] in scenarios)
    }
    if not rows:
        raise UserError(
            f"nothing to explain: {len(collected.left_out)} planned cells do not count"
            + "".join(f"; {one.name}: {one.reason}" for one in collected.left_out[:3])
        )
    if not architectures and not scenarios:
        best = best_row(rows)
        rows = {best: rows[best]}
    return [max(cells, key=lambda cell: cell.candidate.val_f1_macro) for cells in rows.values()]


def test_predictions(cell: Cell) -> Predictions:
    """Return the predictions of a verified cell for its test images."""
    content = cell.folder.read_verified(layout.PREDICTIONS, {"digests": cell.result.digests})
    return read_predictions(content, len(cell.result.classes))["test"]


def sample(predictions: Predictions, label: int, count: int, seed: str) -> list[SampledImage]:
    """Select test images of a class: the most confident right and wrong ones, and a random sample of the others.

    Args:
        predictions: of all test images.
        label: the true class.
        count: images of each kind, at most.
        seed: any text; the random sample depends on it and the class alone.
    """
    probability = softmax(predictions.logits, np.float64)
    predicted = probability.argmax(1)
    rows = np.flatnonzero(predictions.labels == label)
    by_confidence = rows[np.argsort(-probability[rows, predicted[rows]], kind="stable")]
    right = by_confidence[predicted[by_confidence] == label][:count]
    wrong = by_confidence[predicted[by_confidence] != label][:count]
    others = np.setdiff1d(rows, [*right, *wrong])
    rng = np.random.default_rng(derive_seed("explain", seed, label))
    at_random = rng.permutation(others)[:count]
    return [
        SampledImage(
            str(predictions.image_ids[int(row)]),
            label,
            int(predicted[row]),
            float(probability[row, predicted[row]]),
            why,
        )
        for why, selected in zip((*CONFIDENT, RANDOM_SAMPLE), (right, wrong, at_random), strict=True)
        for row in selected
    ]


def class_numbers(classes: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the indices of some classes.

    Args:
        classes: names of all classes.
        names: names of the requested ones; empty: all.

    Raises:
        UserError: if a name is unknown.
    """
    _refuse_unknown("class", names, classes)
    return [number for number, name in enumerate(classes) if not names or name in names]


def _refuse_unknown(kind: str, names: Sequence[str], known: Iterable[str]) -> None:
    valid = list(dict.fromkeys(known))
    faults = [
        f"unknown {kind} {name}{suggestion(name, valid)} (the study has {', '.join(valid)})"
        for name in names
        if name not in valid
    ]
    if faults:
        raise UserError(faults)
