"""Images that must stay together, and how they are dealt out to parts.

Images of one group, and images of identical bytes, form one *unit*. Units are dealt out the largest
first, each to the part that lacks most of its classes. Where many are alike (of one size and one class,
as all single images of a class are), how many go to each part is computed at once, not tried one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.arrays import Ints
from trainables.data.packing.prepare import Packed
from trainables.store.arrow import codes

IDENTICAL = "identical-"
"""Begins the effective group of images of identical bytes that have no group of their own."""


class SplitUnits:
    """The units of a data set of N images.

    Attributes:
        of_image: the unit of each image, shape (N,), numbered in order of appearance.
        labels: label of each image, shape (N,).
        sizes: images of each unit, shape (count,).
        classes: how many classes there are.
    """

    def __init__(self, data: Packed) -> None:
        groups, hashes = data.index.column("group"), data.index.column("sha256")
        self.of_image = _connected(codes(hashes), codes(groups))
        self.count = int(self.of_image.max()) + 1 if len(self.of_image) else 0
        self.labels = data.labels
        self.classes = len(data.classes)
        self.sizes = np.bincount(self.of_image, minlength=self.count).astype(np.int64)
        self._images = np.argsort(self.of_image, kind="stable")
        self._first = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    def images(self, unit: int) -> Ints:
        """Return the images of a unit."""
        return self._images[self._first[unit] : self._first[unit + 1]]

    def of_class(self) -> Ints:
        """Return how many units hold each class, shape (classes,)."""
        pairs = np.unique(self.of_image * max(self.classes, 1) + self.labels)
        return np.bincount(pairs % max(self.classes, 1), minlength=self.classes).astype(np.int64)

    @cached_property
    def content(self) -> list[list[tuple[int, int]]]:
        """What each unit holds: pairs of a label and how many images."""
        width = max(self.classes, 1)
        pairs, counts = np.unique(self.of_image * width + self.labels, return_counts=True)
        content: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        for unit, label, images in zip(
            (pairs // width).tolist(), (pairs % width).tolist(), counts.tolist(), strict=True
        ):
            content[unit].append((label, images))
        return content

    def deal(
        self, which: Ints, shares: Sequence[float], rng: np.random.Generator, apart: frozenset[int] = frozenset()
    ) -> Ints:
        """Give each of the units named to one of ``len(shares)`` parts; return the part of each, shape (len(which),).

        A part's target for a class is its share of it, and one image at least where the class has two.
        Ties go to the part with fewest images for its share. Units of the classes ``apart`` go to parts
        that have none of them yet, as long as there are such, whatever else they hold.
        """
        members = np.zeros(self.count, dtype=bool)
        members[which] = True
        hand = _Hand(shares, np.bincount(self.labels[members[self.of_image]], minlength=self.classes), apart)
        order = rng.permutation(len(which))
        sizes, labels = self.sizes[which[order]], self._label[which[order]]
        part_of = np.empty(len(which), dtype=np.int64)
        for size in np.unique(sizes)[::-1].tolist():
            of_size = sizes == size
            for i in order[of_size & (labels < 0)].tolist():
                part_of[i] = hand.give(self.content[which[i]])
            for label in np.unique(labels[of_size & (labels >= 0)]).tolist():
                alike = order[of_size & (labels == label)]
                part_of[alike] = np.repeat(np.arange(len(shares)), hand.fill(label, len(alike), size))
        return part_of

    @cached_property
    def _label(self) -> Ints:
        """The class of each unit of one class; -1 for the others."""
        low = np.full(self.count, self.classes, dtype=np.int64)
        high = np.full(self.count, -1, dtype=np.int64)
        np.minimum.at(low, self.of_image, self.labels)
        np.maximum.at(high, self.of_image, self.labels)
        return np.where(low == high, low, -1)

    def names(self, data: Packed) -> pa.Array:
        """Return the effective group of each unit: its own name, one made from its bytes, or null for an image alone."""
        known: dict[int, str] = {}
        for unit, group in zip(self.of_image.tolist(), data.index.column("group").to_pylist(), strict=True):
            if group is not None:
                known[unit] = min(group, known.get(unit, group))
        hashes = data.index.column("sha256")
        for unit in np.flatnonzero(self.sizes > 1).tolist():
            if unit not in known:
                known[unit] = f"{IDENTICAL}{hashes[int(self.images(unit)[0])].as_py()[:16]}"
        return pa.array([known.get(unit) for unit in range(self.count)], pa.string())


class _Hand:
    """What each part still lacks while units are dealt out."""

    def __init__(self, shares: Sequence[float], total: Ints, apart: frozenset[int]) -> None:
        self._shares = list(shares)
        self._holds: dict[int, set[int]] = {label: set() for label in apart}
        self._total = total.tolist()
        self._images = [0] * len(self._shares)
        # Images still lacking, by class and part. A small part wants one image at least of a class that has two.
        self._lacking = [[max(s * n, 1.0 if s < 0.5 and n > 1 else 0.0) for s in self._shares] for n in self._total]

    def give(self, content: list[tuple[int, int]]) -> int:
        """Give a unit that holds (label, images) to the part that lacks most of it; return that part."""
        need = [0.0] * len(self._shares)
        for label, images in content:
            for part, lacking in enumerate(self._lacking[label]):
                need[part] += images * lacking / self._total[label]
        kept_apart = [self._holds[label] for label, _ in content if label in self._holds]
        part = self._first(need, kept_apart)
        for held in kept_apart:
            held.add(part)
        for label, images in content:
            self._lacking[label][part] -= images
            self._images[part] += images
        return part

    def fill(self, label: int, count: int, size: int) -> Ints:
        """Give ``count`` units of ``size`` images of one class, each to the part that lacks most of it.

        Returns:
            how many units each part gets: what giving them one by one would come to.
        """
        lacking = np.array(self._lacking[label]) / size
        given = _nearly(lacking, count)
        self._images = [images + n * size for images, n in zip(self._images, given.tolist(), strict=True)]
        for _ in range(count - int(given.sum())):
            part = self._first((lacking - given).tolist())
            given[part] += 1
            self._images[part] += size
        self._lacking[label] = ((lacking - given) * size).tolist()
        if label in self._holds:
            self._holds[label].update(np.flatnonzero(given).tolist())
        return given

    def _first(self, need: Sequence[float], kept_apart: Sequence[set[int]] = ()) -> int:
        def rank(part: int) -> tuple[int, float, float]:
            met = sum(part in held for held in kept_apart)
            return -met, round(need[part], 9), -self._images[part] / self._shares[part]

        return max(range(len(need)), key=rank)


def _nearly(lacking: NDArray[np.float64], count: int) -> Ints:
    """Return what each part surely gets of ``count``: filled up to one level, short of it by an image or two."""
    active = np.ones(len(lacking), dtype=bool)
    while True:
        level = (lacking[active].sum() - count) / active.sum()
        below = active & (lacking <= level)
        if not below.any():
            return np.where(active, np.maximum(np.floor(lacking - level) - 1, 0), 0).astype(np.int64)
        active &= ~below


def _connected(hashes: Ints, groups: Ints) -> Ints:
    """Number the connected components of images that share a hash or a group, in order of appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images = np.arange(len(hashes))
    grouped = np.flatnonzero(groups >= 0)
    first_hash = len(images)
    first_group = first_hash + int(hashes.max(initial=-1)) + 1
    nodes = first_group + int(groups.max(initial=-1)) + 1
    ends = (np.concatenate([images, grouped]), np.concatenate([hashes + first_hash, groups[grouped] + first_group]))
    ties = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(nodes, nodes))
    found = connected_components(ties, directed=False)[1][: len(images)]
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
