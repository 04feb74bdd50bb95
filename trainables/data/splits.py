"""Folds: which images train, validate and test. Stratified by class, and no group on two sides.

Images of one group, and images of identical bytes, form one *unit*; units are dealt out one by one,
the largest first, each to the part that lacks most of its classes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from trainables.data.packed import Packed
from trainables.errors import UserError
from trainables.identity import derive_seed
from trainables.specs import Frozen
from trainables.study import split_digest

Ints = NDArray[np.int64]
TRAIN, VAL, TEST = "train", "val", "test"


class SplitSpec(Frozen):
    """How the target data are divided."""

    folds: int = Field(5, ge=2, description="outer parts of the cross-validation; each is the test part once")
    val_fraction: float = Field(0.2, gt=0, lt=1, description="share of a fold's training images kept to choose on")
    seed: int = 0


@dataclass(frozen=True)
class Split:
    """A table of columns fold, image_id, label, group, split, and the digest of its content."""

    table: pa.Table
    digest: str


def cross_validation(name: str, data: Packed, spec: SplitSpec) -> Split:
    """Divide a data set into folds, each with a train, a val and a test part.

    Raises:
        UserError: if a class has fewer images than folds, there are fewer units than folds, or a part stays empty.
    """
    units = _Units(data)
    _refuse_small_classes(name, data, units, spec)
    rng = np.random.default_rng(derive_seed("folds", spec.seed))
    test_fold = units.deal(np.arange(units.count), [1 / spec.folds] * spec.folds, rng)
    parts = np.empty((spec.folds, len(data.labels)), dtype=object)
    for fold in range(spec.folds):
        rng = np.random.default_rng(derive_seed("val", spec.seed, fold))
        training = np.flatnonzero(test_fold != fold)
        of_unit = np.full(units.count, TEST, dtype=object)
        of_unit[training] = _train_or_val(units, training, spec.val_fraction, rng)
        parts[fold] = of_unit[units.of_image]
    _refuse_empty_parts(name, parts, (TRAIN, VAL, TEST))
    return _split_table(data, units, parts)


def single(data: Packed, spec: SplitSpec) -> Split:
    """Divide a pre-training set into train and val: its own parts where it has them, dealt out otherwise.

    Raises:
        UserError: if a part stays empty.
    """
    units = _Units(data)
    given = np.array(data.index.column("part").to_pylist(), dtype=object)
    if all(part is not None for part in given) and {TRAIN, VAL} <= set(given):
        parts = _mended(given, units)
    else:
        rng = np.random.default_rng(derive_seed("val", spec.seed, None))
        parts = _train_or_val(units, np.arange(units.count), spec.val_fraction, rng)[units.of_image]
    _refuse_empty_parts(data.folder.name, parts[np.newaxis, :], (TRAIN, VAL))
    return _split_table(data, units, parts[np.newaxis, :])


def _mended(given: NDArray[np.object_], units: _Units) -> NDArray[np.object_]:
    """Take out of val what is in train as well, by group or by identical bytes."""
    in_train = np.isin(units.of_image, units.of_image[given == TRAIN])
    return np.where((given == VAL) & in_train, TRAIN, given)


class _Units:
    """Images that must stay together: one group, or identical bytes, in any chain of the two."""

    def __init__(self, data: Packed) -> None:
        groups = data.index.column("group").to_pylist()
        self.of_image = _connected(groups, data.index.column("sha256").to_pylist())
        self.count = int(self.of_image.max()) + 1 if len(groups) else 0
        self.classes = len(data.classes)
        self.labels: list[list[int]] = [[] for _ in range(self.count)]
        for unit, label in zip(self.of_image.tolist(), data.labels.tolist(), strict=True):
            self.labels[unit].append(label)
        self.names = self._names(groups)

    def deal(self, which: Ints, shares: Sequence[float], rng: np.random.Generator) -> Ints:
        """Give each of the units named to one of ``len(shares)`` parts; return the part of each, shape (len(which),).

        A part's target for a class is its share of it. Largest units first; each goes where its classes
        are most lacking, then to the part with fewest images.
        """
        order = rng.permutation(len(which))
        order = order[np.argsort([-len(self.labels[which[i]]) for i in order], kind="stable")]
        total = Counter(label for unit in which.tolist() for label in self.labels[unit])
        lacking = [
            {c: max(share * n, 1.0 if share < 0.5 and n > 1 else 0.0) for c, n in total.items()} for share in shares
        ]
        images = [0] * len(shares)
        part_of = np.empty(len(which), dtype=np.int64)
        for i in order.tolist():
            counts = Counter(self.labels[which[i]])
            need = [round(sum(n * lack[c] / total[c] for c, n in counts.items()), 9) for lack in lacking]
            part = max(range(len(shares)), key=lambda p: (need[p], -images[p] / shares[p]))
            part_of[i] = part
            images[part] += counts.total()
            for c, n in counts.items():
                lacking[part][c] -= n
        return part_of

    def _names(self, groups: Sequence[str | None]) -> list[str | None]:
        """The effective group of each unit: its own name, or one made from its number where bytes are identical."""
        known: dict[int, str] = {}
        for unit, group in zip(self.of_image.tolist(), groups, strict=True):
            if group is not None:
                known[unit] = min(group, known.get(unit, group))
        return [known.get(u, f"identical-{u}" if len(self.labels[u]) > 1 else None) for u in range(self.count)]


def _train_or_val(units: _Units, which: Ints, val_fraction: float, rng: np.random.Generator) -> NDArray[np.object_]:
    parts = units.deal(which, [1 - val_fraction, val_fraction], rng)
    return np.array([TRAIN, VAL], dtype=object)[parts]


def _connected(groups: Sequence[str | None], hashes: Sequence[str]) -> Ints:
    """Number the connected components of images that share a group or a hash, in order of appearance."""
    parent = list(range(len(groups)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, (group, sha256) in enumerate(zip(groups, hashes, strict=True)):
        for tie in (("bytes", sha256), ("group", group)):
            if tie[1] is not None:
                parent[root(i)] = root(first.setdefault((tie[0], tie[1]), i))
    numbers: dict[int, int] = defaultdict(lambda: len(numbers))
    return np.array([numbers[root(i)] for i in range(len(parent))], dtype=np.int64)


def _split_table(data: Packed, units: _Units, parts: NDArray[np.object_]) -> Split:
    folds, images = parts.shape
    ids = data.index.column("image_id").to_pylist()
    groups = [units.names[unit] for unit in units.of_image.tolist()]
    table = pa.table(
        {
            "fold": np.repeat(np.arange(folds, dtype=np.int64), images),
            "image_id": pa.array(ids * folds, pa.string()),
            "label": np.tile(data.labels, folds),
            "group": pa.array(groups * folds, pa.string()),
            "split": pa.array(parts.reshape(-1).tolist(), pa.string()),
        }
    )
    return Split(table, split_digest(table))


def _refuse_empty_parts(name: str, parts: NDArray[np.object_], wanted: Sequence[str]) -> None:
    faults = [
        f"data set {name}, fold {fold}: too few images or groups, none is left for {part}. Take fewer folds or another val_fraction"
        for fold, row in enumerate(parts)
        for part in wanted
        if not (row == part).any()
    ]
    if faults:
        raise UserError(faults)


def _refuse_small_classes(name: str, data: Packed, units: _Units, spec: SplitSpec) -> None:
    counts = np.bincount(data.labels, minlength=len(data.classes))
    small = [f"{c} ({n})" for c, n in zip(data.classes, counts.tolist(), strict=True) if n < spec.folds]
    faults = []
    if len(data.classes) < 2:
        faults.append(
            f"data set {name} has {len(data.classes)} class: {', '.join(data.classes)}. A classification needs two"
        )
    if small:
        faults.append(
            f"data set {name}: fewer images than the {spec.folds} folds in class {', '.join(small)}. Take fewer folds, or leave these classes out"
        )
    if units.count < spec.folds:
        faults.append(
            f"data set {name}: {units.count} groups cannot fill {spec.folds} folds without splitting one. Take fewer folds"
        )
    if faults:
        raise UserError(faults)
