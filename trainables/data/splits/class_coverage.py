"""What a split cannot give each class: refused where no score could mean anything, said where one means less."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.arrays import Ints
from trainables.data.packing.prepare import Packed
from trainables.data.splits.grouping import SplitUnits
from trainables.errors import UserError

TRAIN, VAL, TEST = 0, 1, 2
FEW = 5
"""A class with fewer test images than this in a fold is named: one image moves its recall by a fifth or more."""


def refuse_small_classes(name: str, classes: Sequence[str], units: SplitUnits, folds: int) -> None:
    """Refuse what cannot be divided at all. Raises UserError with every fault."""
    images = np.bincount(units.labels, minlength=len(classes))
    apart = units.of_class()
    small = [f"{c} ({n})" for c, n in zip(classes, images.tolist(), strict=True) if n < folds]
    lonely = [
        f"{c} ({n} images)"
        for c, n, k in zip(classes, images.tolist(), apart.tolist(), strict=True)
        if k == 1 and n >= folds
    ]
    faults = []
    if len(classes) < 2:
        faults.append(f"data set {name} has {len(classes)} class: {', '.join(classes)}. A classification needs two")
    if small:
        faults.append(
            f"data set {name}: fewer images than the {folds} folds in class {', '.join(small)}. Take fewer folds, or leave these classes out with `leave_out:`"
        )
    if lonely:
        faults.append(
            f"data set {name}: all images of one group in class {', '.join(lonely)}: no fold can both train on it and test it. Leave it out with `leave_out:`, or give finer groups"
        )
    if units.count < folds:
        faults.append(
            f"data set {name}: {units.count} groups cannot fill {folds} folds without splitting one. Take fewer folds"
        )
    if faults:
        raise UserError(faults)


def refuse_unlearnable(name: str, data: Packed, parts: NDArray[np.int8]) -> None:
    """Refuse a split in which some class is never both trained on and tested in one fold. Raises UserError."""
    counts = _counts(data, parts)
    both = np.any((counts[:, TRAIN] > 0) & (counts[:, TEST] > 0), axis=0).tolist()
    hopeless = [c for c, learnable in zip(data.classes, both, strict=True) if not learnable]
    if hopeless:
        raise UserError(
            f"data set {name}: no fold both trains on and tests class {', '.join(hopeless)}: too few groups hold it. Take another number of folds or split seed, or leave it out with `leave_out:`"
        )


def note_classes(data: Packed, units: SplitUnits, parts: NDArray[np.int8]) -> list[str]:
    """Say which classes some fold does not train on, choose on or test, and which are tested on few images.

    Args:
        data: the data set, N images.
        units: its units.
        parts: part of each image in each fold, shape (folds, N); one fold is a pre-training set.
    """
    counts = _counts(data, parts)
    images, apart = np.bincount(data.labels, minlength=len(data.classes)), units.of_class()
    notes = []
    for label, name in enumerate(data.classes):
        what = f"class {name} ({images[label]:,} images in {apart[label]:,} groups)"
        if apart[label] == images[label]:
            what = f"class {name} ({images[label]:,} images)"
        trained, shown, tested = counts[:, :, label].T
        notes += [f"{what}: {note}" for note in _notes(trained, shown, tested, folds=len(parts))]
    return notes


def _notes(trained: Ints, shown: Ints, tested: Ints, folds: int) -> list[str]:
    notes = []
    untrained, unseen, untested = (np.flatnonzero(count == 0) for count in (trained, shown, tested))
    if len(untrained):
        notes.append(f"nothing of it is in train{_of(untrained, folds)}; it cannot be learnt there")
    if len(unseen):
        notes.append(f"nothing of it is on val{_of(unseen, folds)}; nothing is chosen by it there")
    if folds > 1 and len(untested):
        notes.append(f"nothing of it is tested{_of(untested, folds)}; its recall there is 0/0, counted as 0")
    few = tested[tested > 0]
    if folds > 1 and few.min(initial=FEW) < FEW:
        notes.append(
            f"{_range(few)} test images and {_range(shown)} on val a fold; its scores, and with them the macro scores, move in large steps"
        )
    return notes


def _of(which: Ints, folds: int) -> str:
    return f" of fold {', '.join(map(str, which.tolist()))}" if folds > 1 else ""


def _range(counts: Ints) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _counts(data: Packed, parts: NDArray[np.int8]) -> Ints:
    """Count images, shape (folds, 3, classes)."""
    classes = len(data.classes)
    rows = [np.bincount(row * np.int64(classes) + data.labels, minlength=3 * classes) for row in parts]
    return np.stack(rows).reshape(len(parts), 3, classes)
