"""Copies among images: of the same pixels, or near ones (re-encoded, scaled, flipped, turned) by their perceptual hashes.

Near ones are searched for by locality-sensitive hashing (Datar et al., 2004): hashes are projected on random directions and
cut into steps; images that agree in all steps of a table, and are neighbours in it, are compared. What no symmetry changes
is projected, so all 8 symmetries are searched at once. The time is that of a few sorts, whatever the images are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.arrays import Ints
from trainables.data.packing.likeness import FREQUENCIES, SCALE

NEAR = 0.06
"""Distance of two hashes, each of length 1, up to which two images are copies under one of the 8 symmetries."""
COLOUR = 8.0
"""Grey levels by which the mean colours of two copies may differ in each channel."""
TABLES, DIRECTIONS, STEP = 24, 12, 0.2
"""Of the search. A pair at distance 0.02, as JPEG of quality 40 is from its original, is missed once in 60,000 times, one at
0.035 (quality 10 to 20) once in 80."""
NEIGHBOURS = 4
"""Next images in a table that each is compared with. A set of many copies is linked from one to the next."""
AT_ONCE = 1 << 16
"""Pairs that are compared at once: memory stays bounded."""
COLUMNS = ("sha256", "pixels", "likeness")
"""Of an index: what copies are told by."""

Hashes = NDArray[np.float32]


class Likenesses:
    """The perceptual hashes of some images.

    Attributes:
        rows: places of those that have one, shape (n,): a flat image has none.
        vectors: shape (n, FREQUENCIES²), each of length about 1.
        colours: mean colour, shape (n, 3).
    """

    def __init__(self, hashes: Sequence[str | None]) -> None:
        """Read them as they stand in the index, None: the image has none."""
        width = FREQUENCIES**2
        self.rows = np.array([row for row, text in enumerate(hashes) if text], dtype=np.int64)
        raw = np.frombuffer(bytes.fromhex("".join(filter(None, hashes))), np.uint8).reshape(len(self.rows), width + 3)
        self.vectors: Hashes = np.ascontiguousarray(raw[:, :width]).view(np.int8).astype(np.float32) / np.float32(SCALE)
        self.colours: Hashes = raw[:, width:].astype(np.float32)

    def invariants(self) -> Hashes:
        """Return what no symmetry changes: the length of each coefficient and its transposed one, shape (n, pairs).

        Two images are at most as far apart here as they are under their best symmetry.
        """
        low = self.vectors.reshape(-1, FREQUENCIES, FREQUENCIES)
        upper, diagonal = np.triu_indices(FREQUENCIES, 1), range(FREQUENCIES)
        paired = np.hypot(low[:, upper[0], upper[1]], low[:, upper[1], upper[0]])
        return np.concatenate([np.abs(low[:, diagonal, diagonal]), paired], axis=1)


def linked_copies(index: pa.Table) -> list[str | None]:
    """Return for each image the id of the first of its set of copies; None if it has none.

    Args:
        index: image_id and COLUMNS.
    """
    found = _sets(index)
    _, first, sizes = np.unique(found, return_index=True, return_counts=True)
    ids = index.column("image_id").to_pylist()
    return [ids[first[one]] if sizes[one] > 1 else None for one in found.tolist()]


def shared_images(index: pa.Table, target: pa.Table, by_pixels: bool) -> list[str]:
    """Return the ids of the images that the target has too, in the order of their table.

    Args:
        index: of a data set.
        target: index of the target.
        by_pixels: copies of pixels and near copies count, not those of bytes alone.
    """
    import pyarrow.compute as pc

    if by_pixels:
        found = _sets(pa.concat_tables([index.select(COLUMNS), target.select(COLUMNS)]))
        shared = np.isin(found[: len(index)], found[len(index) :])
    else:
        shared = pc.is_in(index.column("sha256"), target.column("sha256").combine_chunks()).to_numpy()
    ids: list[str] = index.column("image_id").filter(pa.array(shared)).to_pylist()
    return ids


def near_pairs(images: Likenesses) -> Ints:
    """Return pairs of images that are near copies, shape (pairs, 2): enough of them to connect each set of copies."""
    keys = np.ascontiguousarray(np.rint(images.vectors * SCALE).astype(np.int8))
    same = keys.view(np.dtype((np.void, keys.shape[1]))).reshape(-1)
    _, first, place = np.unique(same, return_index=True, return_inverse=True)
    chained = np.stack([np.arange(len(same)), first[place]], axis=1)  # equal hashes: compared with the first of them
    found = [_close(images, chained[chained[:, 0] != chained[:, 1]])]
    searched = images.invariants()[first]
    for pairs in _candidates(searched):
        apart = np.linalg.norm(searched[pairs[:, 0]] - searched[pairs[:, 1]], axis=1)
        found.append(_close(images, first[pairs[apart <= NEAR]]))
    return images.rows[np.unique(np.concatenate(found), axis=0)]


def _sets(index: pa.Table) -> Ints:
    """Return the number of the set of copies of each image, shape (images,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sha256, pixels, likeness = (index.column(name).to_pylist() for name in COLUMNS)
    ends = np.concatenate([_same(sha256), _same(pixels), near_pairs(Likenesses(likeness))])
    ties = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(index), len(index)))
    return np.asarray(connected_components(ties, directed=False)[1], dtype=np.int64)


def _candidates(searched: Hashes) -> Iterator[Ints]:
    """Yield pairs that agree in a table of the search, AT_ONCE at most, shape (pairs, 2)."""
    rng = np.random.default_rng(0)
    mixing = rng.integers(1, 1 << 62, DIRECTIONS, dtype=np.int64) | 1
    for _ in range(TABLES):
        directions = rng.standard_normal((searched.shape[1], DIRECTIONS + 1)).astype(np.float32)
        along = searched @ directions
        steps = np.floor(along[:, :DIRECTIONS] / np.float32(STEP) + rng.random(DIRECTIONS, dtype=np.float32))
        bucket = (steps.astype(np.int64) * mixing).sum(1)  # wraps around, as a hash may
        order = np.lexsort((along[:, DIRECTIONS], bucket))  # the last direction brings copies side by side
        ordered = bucket[order]
        for ahead in range(1, NEIGHBOURS + 1):
            at = np.flatnonzero(ordered[:-ahead] == ordered[ahead:])
            for start in range(0, len(at), AT_ONCE):
                part = at[start : start + AT_ONCE]
                yield np.sort(np.stack([order[part], order[part + ahead]], axis=1), axis=1)


def _close(images: Likenesses, pairs: Ints) -> Ints:
    """Return the pairs that are near copies: near under the best of the 8 symmetries, and of about one mean colour."""
    kept = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(pairs), AT_ONCE):
        left, right = pairs[start : start + AT_ONCE].T
        same_colour = np.abs(images.colours[left] - images.colours[right]).max(1, initial=0) <= COLOUR
        nearest = np.full(len(left), np.inf, dtype=np.float32)
        for turned in _symmetries(images.vectors[right]):
            np.minimum(nearest, np.linalg.norm(images.vectors[left] - turned, axis=1), out=nearest)
        kept.append(pairs[start : start + AT_ONCE][same_colour & (nearest <= NEAR)])
    return np.concatenate(kept)


def _symmetries(vectors: Hashes) -> Iterator[Hashes]:
    """Yield the hashes of the same images under the 8 symmetries of the square."""
    low = vectors.reshape(-1, FREQUENCIES, FREQUENCIES)
    odd = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    signs = (np.ones_like(odd), odd)
    for upright, down, across in product((low, low.transpose(0, 2, 1)), signs, signs):
        yield (upright * down[:, np.newaxis] * across).reshape(len(vectors), -1)


def _same(values: Sequence[str]) -> Ints:
    """Return pairs that link each image to the first one with its value, shape (pairs, 2)."""
    first: dict[str, int] = {}
    pairs = [(row, first.setdefault(value, row)) for row, value in enumerate(values)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
