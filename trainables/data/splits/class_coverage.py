"""Class coverage of a split: refused if a class could have no meaningful score, noted if its score means less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.arrays import Ints, Mask
from trainables.data.splits.divided import DividedImages
from trainables.data.splits.grouping import SplitUnits
from trainables.errors import UserError

TRAIN, VAL, TEST = 0, 1, 2
FEW = 5
"""A class with fewer test images in a fold is noted: one image changes its recall by more than a fifth."""


def refuse_small_classes(name: str, classes: Sequence[str], units: SplitUnits, folds: int) -> None:
    """Refuse a data set that cannot be divided into folds.

    Args:
        name: of the data set, for messages.
        classes: names of its classes.
        units: sets of images that stay together.
        folds: number of folds.

    Raises:
        UserError: with every fault: classes with too few images or groups, fewer units than folds.
    """
    images = np.bincount(units.labels, minlength=len(classes))
    apart = units.of_class()
    small = [f"{c} ({n})" for c, n in zip(classes, images.tolist(), strict=True) if n < folds]
    lonely = [
        f"{c} ({n} images)"
        for c, n, k in zip(classes, images.tolist(), apart.tolist(), strict=True)
        if k == 1 and n >= folds
    ]
    faults = []
    if not images.any():
        raise UserError(f"data set {name}: every image is left out. Its notes say why (--plan prints them)")
    if len(classes) < 2:
        faults.append(f"data set {name} has {len(classes)} class: {', '.join(classes)}. A classification needs two")
    if small:
        faults.append(
            f"data set {name}: fewer images than the {folds} folds in class {', '.join(small)}. Take fewer folds, or leave these classes out with `leave_out:`"
        )
    if lonely:
        faults.append(
            f"data set {name}: all images of one group in class {', '.join(lonely)}: no fold can both train on it and test it. Leave it out with `leave_out:`, or give finer groups (copies count as one: `duplicates: bytes` takes only identical files for copies)"
        )
    if units.count < folds:
        faults.append(
            f"data set {name}: {units.count} groups cannot fill {folds} folds without splitting one. Take fewer folds"
        )
    if faults:
        raise UserError(faults)


def refuse_unlearnable(name: str, data: DividedImages, parts: NDArray[np.int8]) -> None:
    """Refuse a split with a class that no fold both trains on and tests.

    Args:
        name: of the data set, for messages.
        data: the data set, N images.
        parts: part of each image in each fold, shape (folds, N).

    Raises:
        UserError: with the names of such classes.
    """
    counts = _counts(data, parts)
    both = np.any((counts[:, TRAIN] > 0) & (counts[:, TEST] > 0), axis=0).tolist()
    hopeless = [c for c, learnable in zip(data.classes, both, strict=True) if not learnable]
    if hopeless:
        raise UserError(
            f"data set {name}: no fold both trains on and tests class {', '.join(hopeless)}: too few groups hold it. Take another number of folds or split seed, or leave it out with `leave_out:`"
        )


def note_classes(data: DividedImages, units: SplitUnits, parts: NDArray[np.int8]) -> list[str]:
    """Return notes on classes that are absent from train, val or test in some fold, or tested on few images.

    Args:
        data: the data set, N images.
        units: sets of images that stay together.
        parts: part of each image in each fold, shape (folds, N); one row: a pre-training set.
    """
    counts = _counts(data, parts)
    images, apart = np.bincount(data.labels, minlength=len(data.classes)), units.of_class()
    notes = []
    for label, name in enumerate(data.classes):
        what = f"class {name} ({images[label]:,} images in {apart[label]:,} groups)"
        if apart[label] == images[label]:
            what = f"class {name} ({images[label]:,} images)"
        notes += [f"{what}: {note}" for note in _notes(*counts[:, :, label].T)]
    return notes


def _notes(train: Ints, val: Ints, test: Ints) -> list[str]:
    """Return the notes on one class, from its images in each part, shape (folds,) each."""
    folds = len(train)
    effects = [("train", train, "it cannot be learnt there"), ("val", val, "it has no part in what is chosen there")]
    if folds > 1:
        effects.append(("test", test, "its recall there is 0/0, counted as 0"))
    notes = [
        f"absent from {part}{_in_folds(count == 0)}: {effect}" for part, count, effect in effects if (count == 0).any()
    ]
    few = test[test > 0]
    if folds > 1 and few.min(initial=FEW) < FEW:
        notes.append(
            f"{_range(few)} test and {_range(val)} val images per fold: its scores, and with them the macro scores, change in large steps"
        )
    return notes


def _in_folds(absent: Mask) -> str:
    return f" in fold {', '.join(map(str, np.flatnonzero(absent).tolist()))}" if len(absent) > 1 else ""


def _range(counts: Ints) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _counts(data: DividedImages, parts: NDArray[np.int8]) -> Ints:
    """Return the number of images, shape (folds, 3, classes)."""
    classes = len(data.classes)
    rows = [np.bincount(row * np.int64(classes) + data.labels, minlength=3 * classes) for row in parts]
    return np.stack(rows).reshape(len(parts), 3, classes)
