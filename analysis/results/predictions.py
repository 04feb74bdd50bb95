"""Read and check a prediction file: every image of val and test exactly once, with finite logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from analysis.results.split import PARTS, SplitPart
from trainables.store import layout
from trainables.store.arrow import equal, numbers, one_array, read_parquet, take

_TYPES = {"image_id": pa.string(), "split": pa.string(), "label": pa.int64()}


@dataclass(frozen=True)
class Predictions:
    """The predictions of a cell for one part of its fold.

    Attributes:
        image_ids: strings, shape (images,).
        labels: true classes, shape (images,).
        logits: shape (images, classes), float32.
    """

    image_ids: pa.Array
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]

    def check(self, name: str, part: SplitPart) -> NDArray[np.int32]:
        """Compare with the split.

        Args:
            name: of the part, for messages.
            part: the images and labels that must be there.

        Returns:
            index of each image in the part, shape (images,).

        Raises:
            ValueError: if an image is not in the part, occurs twice, is missing, or has another label.
        """
        place = pc.index_in(self.image_ids, value_set=part.image_ids)
        if place.null_count:
            foreign = self.image_ids.filter(pc.is_null(place))[0]
            foreign_ones = f"{place.null_count} {name} images are not in the {name} part of the split"
            raise ValueError(f"{layout.PREDICTIONS}: {foreign_ones}, first {foreign}")
        found = numbers(place, np.int32)
        times = np.bincount(found, minlength=len(part.labels))
        _refuse(times > 1, part, f"{name} images are there more than once")
        _refuse(times == 0, part, f"{name} images are missing")
        other = np.zeros(len(part.labels), dtype=np.bool_)
        other[found] = self.labels != part.labels[found]
        _refuse(other, part, f"{name} images have another label than in the split")
        return found


def read_predictions(content: bytes, classes: int) -> dict[str, Predictions]:
    """Read a prediction file.

    Args:
        content: bytes of the file, already checked against their digest.
        classes: number of logits per image.

    Returns:
        the predictions of ``val`` and of ``test``.

    Raises:
        ValueError: if columns, types, number of logits or a value are not as in the contract.
    """
    table = read_parquet(content)
    _check_columns(table)
    rows = {name: equal(table["split"], name) for name in PARTS}
    if sum(int(of_part.sum()) for of_part in rows.values()) != table.num_rows:
        values = pc.unique(table["split"]).to_pylist()
        raise ValueError(f"{layout.PREDICTIONS}: column split holds {values}, not only {list(PARTS)}")
    labels, logits = numbers(table["label"], np.int64), _logits(table, classes)
    ids = {name: take(table["image_id"], rows[name]) for name in PARTS}
    return {name: Predictions(ids[name], labels[rows[name]], logits[rows[name]]) for name in PARTS}


def _check_columns(table: pa.Table) -> None:
    for name in (*_TYPES, "logits"):
        if name not in table.column_names:
            raise ValueError(f"{layout.PREDICTIONS} has no column {name}, only {', '.join(table.column_names)}")
        column = table[name]
        if column.null_count:
            raise ValueError(f"{layout.PREDICTIONS}: {column.null_count} values of column {name} are missing")
        if name in _TYPES and column.type != _TYPES[name]:
            raise ValueError(f"{layout.PREDICTIONS}: column {name} is of type {column.type}, not {_TYPES[name]}")


def _logits(table: pa.Table, classes: int) -> NDArray[np.float32]:
    kind = table["logits"].type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != classes or kind.value_type != pa.float32():
        raise ValueError(
            f"{layout.PREDICTIONS}: column logits is of type {kind}, not {classes} float32 values an image"
        )
    flat = one_array(table["logits"]).flatten()
    if flat.null_count:
        raise ValueError(f"{layout.PREDICTIONS}: {flat.null_count} logits are missing")
    logits = numbers(flat, np.float32).reshape(-1, classes)
    # A finite sum proves all logits finite in one pass; the sum itself may overflow, so a non-finite one is checked again.
    if not np.isfinite(logits.sum(dtype=np.float64)) and not np.isfinite(logits).all():
        raise ValueError(f"{layout.PREDICTIONS}: a logit is not finite, so the prediction means nothing")
    return logits


def _refuse(wrong: NDArray[np.bool_], part: SplitPart, what: str) -> None:
    if wrong.any():
        first = part.image_ids[int(np.flatnonzero(wrong)[0])]
        raise ValueError(f"{layout.PREDICTIONS}: {int(wrong.sum())} {what}, first {first}")


def softmax(logits: NDArray[np.float32], dtype: type[np.float32] | type[np.float64] = np.float32) -> NDArray[Any]:
    """Return probabilities, shape (images, classes).

    Args:
        logits: shape (images, classes).
        dtype: float32 suffices for means and takes half the time; float64 still ranks images whose probability
            rounds to 1 in float32.
    """
    exponents: NDArray[Any] = logits.astype(dtype) - logits.max(axis=1, keepdims=True)
    np.exp(exponents, out=exponents)
    exponents /= exponents.sum(axis=1, keepdims=True)
    return exponents
