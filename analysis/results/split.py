"""The study's split: which images a prediction file must hold, and their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.store import layout
from trainables.store.arrow import codes, equal, numbers, one_array, read_parquet, take
from trainables.store.study import Study, split_digest
from trainables.store.untrusted import MOST_TABLE

PARTS = ("val", "test")
COPIES = ("identical-", "copies-")
"""Prefix of the group names generated for byte-identical images; they carry no information on patients."""


@dataclass(frozen=True)
class SplitPart:
    """The images of one part of one fold.

    Attributes:
        image_ids: strings, shape (images,).
        labels: indices into the classes, shape (images,).
        groups: number of each image's group (such as a patient), shape (images,); None where no groups are known.
    """

    image_ids: pa.Array
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class StoredSplit:
    """A split, verified against its digest.

    Attributes:
        digest: SHA-256 of its content, and name of its file.
        parts: the val and test images of each fold, by (fold, part).
        labels: label of every image of the data set once, shape (images,).
        grouped: whether folds respect groups given by the user.
        train_images: number of train images of each fold.
        fault: why the split cannot be used (the rest is empty then), or None.
    """

    digest: str
    parts: Mapping[tuple[int, str], SplitPart] = field(default_factory=dict)
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    grouped: bool = False
    train_images: Mapping[int, int] = field(default_factory=dict)
    fault: str | None = None

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds, ascending."""
        return tuple(sorted({fold for fold, _ in self.parts}))

    def part(self, fold: int, name: str) -> SplitPart:
        """Return a part of a fold.

        Args:
            fold: counted from 0.
            name: ``val`` or ``test``.

        Raises:
            ValueError: if the split is unusable or has no such part.
        """
        if self.fault is not None:
            raise ValueError(self.fault)
        if (fold, name) not in self.parts:
            raise ValueError(f"the split has no {name} part of fold {fold}, only folds {list(self.folds)}")
        return self.parts[fold, name]

    def test_train_ratio(self, folds: Iterable[int]) -> float:
        """Return test images / train images over some folds, as the corrected t-test needs it."""
        folds = list(folds)
        tested = sum(len(self.part(fold, "test").labels) for fold in folds)
        return tested / max(1, sum(self.train_images[fold] for fold in folds))


def read_split(study: Study, digest: str) -> StoredSplit:
    """Read and verify the study's split.

    Args:
        study: the study.
        digest: of the split, as ``study.json`` names it.

    Returns:
        the split; what is wrong with it is in ``fault``.
    """
    path = study.storage.path(layout.split_file(digest))
    try:
        table = read_parquet(study.storage.read(layout.split_file(digest), MOST_TABLE))
    except (OSError, ValueError) as error:
        return StoredSplit(digest, fault=f"the split {path} cannot be read: {' '.join(str(error).split())}")
    missing = {"fold", "image_id", "label", "group", "split"} - set(table.column_names)
    if missing:
        return StoredSplit(digest, fault=f"the split {path} has no column {', '.join(sorted(missing))}")
    if split_digest(table) != digest:
        return StoredSplit(digest, fault=f"the split {path} was changed: its content no longer has that digest")
    try:
        return _divide(digest, table)
    except ValueError as error:
        return StoredSplit(digest, fault=f"the split {path} is not as expected: {error}")


def _divide(digest: str, table: pa.Table) -> StoredSplit:
    fold_of, labels = numbers(table["fold"], np.int64), numbers(table["label"], np.int64)
    folds = np.unique(fold_of).tolist()
    groups = _groups(table["group"])
    parts = {}
    for name in PARTS:
        of_part = equal(table["split"], name)
        for fold in folds:
            rows = of_part & (fold_of == fold)
            of_rows = None if groups is None else groups[rows]
            parts[fold, name] = SplitPart(take(table["image_id"], rows), labels[rows], of_rows)
    in_train = equal(table["split"], "train")
    return StoredSplit(
        digest,
        parts,
        labels=labels[fold_of == folds[0]] if folds else labels,
        grouped=groups is not None,
        train_images={fold: int((in_train & (fold_of == fold)).sum()) for fold in folds},
    )


def _groups(column: pa.ChunkedArray) -> NDArray[np.int64] | None:
    """Return the group number of each row, shape (rows,); an image without a group is a group of its own."""
    names = one_array(column).dictionary_encode().dictionary.to_pylist()
    if not any(not name.startswith(COPIES) for name in names):
        return None
    found = codes(column)
    missing = np.flatnonzero(found < 0)
    found[missing] = len(names) + np.arange(len(missing))
    return found
