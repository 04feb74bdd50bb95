"""Splits into train, val and test: stratified by class, with no group in two parts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from trainables.arrays import Ints
from trainables.data.packing.prepare import Packed
from trainables.data.splits.class_coverage import (
    TEST,
    TRAIN,
    VAL,
    note_classes,
    refuse_small_classes,
    refuse_unlearnable,
)
from trainables.data.splits.divided import DividedImages, divided
from trainables.data.splits.grouping import SplitUnits
from trainables.data.splits.verification import verify_split
from trainables.errors import UserError
from trainables.frozen import Frozen
from trainables.hashing import derive_seed
from trainables.store.study import split_digest

Parts = NDArray[np.int8]
NAMES = ("train", "val", "test")
"""Names of the parts TRAIN, VAL and TEST."""


class SplitSpec(Frozen):
    """How a data set is divided."""

    folds: int = Field(5, ge=2, le=1000, description="outer parts of the cross-validation; each is the test part once")
    val_fraction: float = Field(0.2, gt=0, lt=1, description="share of a fold's training images kept to choose on")
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """A divided data set.

    Attributes:
        table: fold, image_id, label, group, split: one row per fold and image.
        digest: of the table's content.
        proof: a sentence that states what was verified on the table: groups shared (none), folds, images tested once.
        notes: what limits the scores: classes that are absent from a part of a fold, or tested on few images.
    """

    table: pa.Table
    digest: str
    proof: str = ""
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return everything but the table as plain values."""
        return {"digest": self.digest, "proof": self.proof, "notes": list(self.notes)}


def cross_validation(name: str, data: Packed, spec: SplitSpec) -> Split:
    """Divide a data set into folds, each with a train, a val and a test part.

    Args:
        name: of the data set, for messages.
        data: the data set.
        spec: folds, share of val, seed.

    Raises:
        UserError: if a class has fewer images than folds, there are fewer units than folds, a part stays
            empty, or no fold both trains on a class and tests it.
    """
    images = divided(data)
    units = SplitUnits(images)
    refuse_small_classes(name, data.classes, units, spec.folds)
    rng = np.random.default_rng(derive_seed("folds", spec.seed))
    # With two of its few units in one fold, a class is not tested in another; with all of them, never learnt where tested.
    scarce = frozenset(np.flatnonzero(units.of_class() <= spec.folds).tolist())
    test_fold = units.assign(np.arange(units.count), [1 / spec.folds] * spec.folds, rng, scarce)
    parts = np.empty((spec.folds, len(images.labels)), dtype=np.int8)
    for fold in range(spec.folds):
        rng = np.random.default_rng(derive_seed("val", spec.seed, fold))
        training = np.flatnonzero(test_fold != fold)
        of_unit = np.full(units.count, TEST, dtype=np.int8)
        of_unit[training] = _train_or_val(units, training, spec.val_fraction, rng)
        parts[fold] = of_unit[units.of_image]
    _refuse_empty_parts(name, parts, (TRAIN, VAL, TEST))
    refuse_unlearnable(name, images, parts)
    return _split(images, units, parts, note_classes(images, units, parts))


def train_val_split(data: Packed, spec: SplitSpec, without: Collection[str] = ()) -> Split:
    """Divide a pre-training set into train and val: by its own parts if it has both, stratified otherwise.

    Args:
        data: the data set.
        spec: share of val, seed.
        without: ids of images that are left out: those that the target has too.

    Raises:
        UserError: if a part stays empty.
    """
    images = divided(data, without)
    units = SplitUnits(images)
    given = np.array(images.index.column("part").to_pylist(), dtype=object)
    if all(part is not None for part in given) and {"train", "val"} <= set(given):
        parts, notes = _own_parts(given, units)
    else:
        rng = np.random.default_rng(derive_seed("val", spec.seed, None))
        parts = _train_or_val(units, np.arange(units.count), spec.val_fraction, rng)[units.of_image]
        some = sorted({part for part in given if part is not None})
        notes = [f"it comes with {', '.join(some)} parts only: divided anew into train and val"] if some else []
    _refuse_empty_parts(data.folder.name, parts[np.newaxis, :], (TRAIN, VAL))
    notes += [f"{len(without):,} images are left out: the target has them too (exclude_target)"] if without else []
    return _split(images, units, parts[np.newaxis, :], [*notes, *note_classes(images, units, parts[np.newaxis, :])])


def _own_parts(given: NDArray[np.object_], units: SplitUnits) -> tuple[Parts, list[str]]:
    """Return the data set's own parts; val images that share a group or their bytes with train go to train."""
    own = np.array([NAMES.index(part) for part in given], dtype=np.int8)
    in_train = np.isin(units.of_image, units.of_image[own == TRAIN])
    moved = (own == VAL) & in_train
    notes = [f"{moved.sum():,} images of its val part share a group or their bytes with train: moved to train"]
    return np.where(moved, np.int8(TRAIN), own), notes if moved.any() else []


def _train_or_val(units: SplitUnits, which: Ints, val_fraction: float, rng: np.random.Generator) -> Parts:
    """Assign units to train and val; return the part of each.

    If val would get all units of a class, its smallest one goes to train.
    """
    parts = units.assign(which, [1 - val_fraction, val_fraction], rng).astype(np.int8)
    of_image = np.full(units.count, TEST, dtype=np.int8)
    of_image[which] = parts
    of_image = of_image[units.of_image]
    trained = np.bincount(units.labels[of_image == TRAIN], minlength=units.classes)
    validated = np.bincount(units.labels[of_image == VAL], minlength=units.classes)
    for label in np.flatnonzero((trained == 0) & (validated > 0)).tolist():
        holding = np.unique(units.of_image[(of_image == VAL) & (units.labels == label)])
        parts[which == holding[np.argmin(units.sizes[holding])]] = TRAIN
    return parts


def _split(data: DividedImages, units: SplitUnits, parts: Parts, notes: Sequence[str]) -> Split:
    folds, images = parts.shape
    ids = data.index.column("image_id").combine_chunks()
    groups = units.names(data).take(pa.array(units.of_image))
    names = pa.DictionaryArray.from_arrays(pa.array(parts.reshape(-1)), pa.array(NAMES, pa.string()))
    table = pa.table(
        {
            "fold": np.repeat(np.arange(folds, dtype=np.int64), images),
            "image_id": pa.concat_arrays([ids] * folds),
            "label": np.tile(data.labels, folds),
            "group": pa.concat_arrays([groups] * folds),
            "split": names.cast(pa.string()),
        }
    )
    return Split(table, split_digest(table), verify_split(table), tuple(notes))


def _refuse_empty_parts(name: str, parts: Parts, wanted: Sequence[int]) -> None:
    faults = [
        f"data set {name}, fold {fold}: too few images or groups, none is left for {NAMES[part]}. Take fewer folds or another val_fraction"
        for fold, row in enumerate(parts)
        for part in wanted
        if not (row == part).any()
    ]
    if faults:
        raise UserError(faults)
