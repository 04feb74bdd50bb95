"""Units: sets of images that must stay together, and their assignment to parts.

Images of one group, and images that are copies of each other, form one *unit*. Identical bytes are copies always; what
else is, the data set's rule of duplicates says. Units are assigned in order of size, the largest
first, each to the part that lacks most of its classes. For equal units (of one size and one class, as all single
images of a class are) the number that goes to each part is computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa

from trainables.arrays import Floats, Ints
from trainables.data.splits.divided import DividedImages
from trainables.data.splits.verification import COPIES, IDENTICAL
from trainables.store.arrow import codes


class SplitUnits:
    """The units of a data set of N images.

    Attributes:
        count: number of units.
        of_image: unit of each image, shape (N,), numbered in order of appearance.
        labels: label of each image, shape (N,).
        sizes: number of images in each unit, shape (count,).
        classes: number of classes.
    """

    def __init__(self, data: DividedImages) -> None:
        self.of_image = _connected(*(codes(data.index.column(name)) for name in ("sha256", "group", "copies")))
        self.count = int(self.of_image.max()) + 1 if len(self.of_image) else 0
        self.labels = data.labels
        self.classes = len(data.classes)
        self.sizes = np.bincount(self.of_image, minlength=self.count).astype(np.int64)
        self._images = np.argsort(self.of_image, kind="stable")
        self._first = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    def images(self, unit: int) -> Ints:
        """Return the indices of a unit's images."""
        return self._images[self._first[unit] : self._first[unit + 1]]

    def of_class(self) -> Ints:
        """Return the number of units with images of each class, shape (classes,)."""
        pairs = np.unique(self.of_image * max(self.classes, 1) + self.labels)
        return np.bincount(pairs % max(self.classes, 1), minlength=self.classes).astype(np.int64)

    @cached_property
    def content(self) -> list[list[tuple[int, int]]]:
        """Labels in each unit, each with its number of images."""
        width = max(self.classes, 1)
        pairs, counts = np.unique(self.of_image * width + self.labels, return_counts=True)
        content: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        for unit, label, images in zip(
            (pairs // width).tolist(), (pairs % width).tolist(), counts.tolist(), strict=True
        ):
            content[unit].append((label, images))
        return content

    def assign(
        self, which: Ints, shares: Sequence[float], rng: np.random.Generator, scarce: frozenset[int] = frozenset()
    ) -> Ints:
        """Assign units to parts.

        A part's target for a class is its share of the images, and at least one image if the class has two. Ties go
        to the part with the fewest images for its share.

        Args:
            which: the units, shape (n,).
            shares: of each part; they add up to 1.
            rng: draws the order of units of one size.
            scarce: classes whose units go to parts that have no image of them, as long as there is such a part.

        Returns:
            part of each unit, shape (n,).
        """
        members = np.zeros(self.count, dtype=bool)
        members[which] = True
        quotas = _Quotas(shares, np.bincount(self.labels[members[self.of_image]], minlength=self.classes), scarce)
        order = rng.permutation(len(which))
        sizes, labels = self.sizes[which[order]], self._label[which[order]]
        part_of = np.empty(len(which), dtype=np.int64)
        for size in np.unique(sizes)[::-1].tolist():
            of_size = sizes == size
            for i in order[of_size & (labels < 0)].tolist():
                part_of[i] = quotas.assign(self.content[which[i]])
            for label in np.unique(labels[of_size & (labels >= 0)]).tolist():
                equal = order[of_size & (labels == label)]
                part_of[equal] = np.repeat(np.arange(len(shares)), quotas.assign_equal(label, len(equal), size))
        return part_of

    @cached_property
    def _label(self) -> Ints:
        """The class of each unit that has one class only, shape (count,); -1 for the others."""
        low = np.full(self.count, self.classes, dtype=np.int64)
        high = np.full(self.count, -1, dtype=np.int64)
        np.minimum.at(low, self.of_image, self.labels)
        np.maximum.at(high, self.of_image, self.labels)
        return np.where(low == high, low, -1)

    def names(self, data: DividedImages) -> pa.Array:
        """Return the effective group of each unit: a group's name, one made from its bytes, or null for a single image."""
        known: dict[int, str] = {}
        for unit, group in zip(self.of_image.tolist(), data.index.column("group").to_pylist(), strict=True):
            if group is not None:
                known[unit] = min(group, known.get(unit, group))
        hashes = data.index.column("sha256")
        for unit in np.flatnonzero(self.sizes > 1).tolist():
            if unit not in known:
                found = [hashes[image].as_py() for image in self.images(unit).tolist()]
                known[unit] = f"{IDENTICAL if len(set(found)) == 1 else COPIES}{found[0][:16]}"
        return pa.array([known.get(unit) for unit in range(self.count)], pa.string())


class _Quotas:
    """The images that each part still lacks while units are assigned."""

    def __init__(self, shares: Sequence[float], total: Ints, scarce: frozenset[int]) -> None:
        self._shares = list(shares)
        self._holders: dict[int, set[int]] = {label: set() for label in scarce}
        self._total = total.tolist()
        self._images = [0] * len(self._shares)
        # By class and part. A small part should have at least one image of a class that has two.
        self._lacking = [[max(s * n, 1.0 if s < 0.5 and n > 1 else 0.0) for s in self._shares] for n in self._total]

    def assign(self, content: list[tuple[int, int]]) -> int:
        """Assign a unit, given as (label, images) pairs, to the part that lacks most of it; return that part."""
        need = [0.0] * len(self._shares)
        for label, images in content:
            for part, lacking in enumerate(self._lacking[label]):
                need[part] += images * lacking / self._total[label]
        holders = [self._holders[label] for label, _ in content if label in self._holders]
        part = self._neediest(need, holders)
        for parts in holders:
            parts.add(part)
        for label, images in content:
            self._lacking[label][part] -= images
            self._images[part] += images
        return part

    def assign_equal(self, label: int, count: int, size: int) -> Ints:
        """Assign ``count`` units of ``size`` images of one class, each to the part that lacks most of it.

        Returns:
            number of units for each part, as if they were assigned one by one.
        """
        lacking = np.array(self._lacking[label]) / size
        given = _water_level(lacking, count)
        self._images = [images + n * size for images, n in zip(self._images, given.tolist(), strict=True)]
        for _ in range(count - int(given.sum())):
            part = self._neediest((lacking - given).tolist())
            given[part] += 1
            self._images[part] += size
        self._lacking[label] = ((lacking - given) * size).tolist()
        if label in self._holders:
            self._holders[label].update(np.flatnonzero(given).tolist())
        return given

    def _neediest(self, need: Sequence[float], holders: Sequence[set[int]] = ()) -> int:
        def rank(part: int) -> tuple[int, float, float]:
            held = sum(part in parts for parts in holders)
            return -held, round(need[part], 9), -self._images[part] / self._shares[part]

        return max(range(len(need)), key=rank)


def _water_level(lacking: Floats, count: int) -> Ints:
    """Return the share of ``count`` units with which all parts lack equally much, rounded down by a unit or two."""
    active = np.ones(len(lacking), dtype=bool)
    while True:
        level = (lacking[active].sum() - count) / active.sum()
        below = active & (lacking <= level)
        if not below.any():
            return np.where(active, np.maximum(np.floor(lacking - level) - 1, 0), 0).astype(np.int64)
        active &= ~below


def _connected(hashes: Ints, *others: Ints) -> Ints:
    """Return the connected component of each image, numbered in order of appearance.

    Args:
        hashes: a code of each image; those of one code are linked.
        others: further codes, by each of which images are linked too; negative: none.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images = np.arange(len(hashes))
    starts, nodes = [images], [hashes + len(images)]
    count = len(images) + int(hashes.max(initial=-1)) + 1
    for code in others:
        known = np.flatnonzero(code >= 0)
        starts.append(known)
        nodes.append(code[known] + count)
        count += int(code.max(initial=-1)) + 1
    ends = (np.concatenate(starts), np.concatenate(nodes))
    ties = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
    found = connected_components(ties, directed=False)[1][: len(images)]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
