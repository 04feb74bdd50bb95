"""Batches ready to train on, from a packed data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data import augment
from trainables.data.packed import Packed
from trainables.identity import derive_seed
from trainables.specs import Augmentation

EVALUATION_BATCH = 64


class Batch(NamedTuple):
    """A worker's share of a batch.

    Attributes:
        images: float, shape (n, 3, edge, edge), on the device.
        labels: shape (n,), on the device.
        whole_labels: labels of the whole batch, over all workers.
    """

    images: torch.Tensor
    labels: torch.Tensor
    whole_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """Worker ``rank`` of ``size`` takes the images ``[rank::size]`` of each batch."""

    rank: int
    size: int


WHOLE = Share(0, 1)


@dataclass(frozen=True)
class Part:
    """Some images of a data set: a train, val or test part."""

    data: Packed
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels, shape (len(self),)."""
        return self.data.labels[self.rows]


@dataclass(frozen=True)
class Input:
    """What a network wants to see: the edge in pixels, the normalisation, and where."""

    edge: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device

    def tensor(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Return float images (n, 3, edge, edge), normalised, channels-last in memory, from uint8 (n, edge, edge, 3)."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(torch.float32)
        mean = torch.tensor(self.mean, device=self.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=self.device).view(1, 3, 1, 1) * 255
        return pixels.sub_(mean).div_(std)


def training_batches(
    part: Part,
    want: Input,
    changes: Augmentation,
    batch_size: int,
    seed: int,
    fold: int | None,
    epoch: int,
    share: Share = WHOLE,
    start: int = 0,
) -> Iterator[Batch]:
    """Yield one epoch of shuffled, augmented batches, from batch ``start`` on.

    Order and changes depend on (seed, fold, epoch) and the images alone, whatever the share. Every batch is
    full: what is left over sits out this epoch (where there is less than one batch, it is one batch).
    """
    order = np.random.default_rng(derive_seed("order", seed, fold, epoch)).permutation(len(part))
    whole = len(order) // batch_size * batch_size or len(order)
    for first in range(start * batch_size, whole, batch_size):
        batch = part.rows[order[first : first + batch_size]]
        rows = batch[share.rank :: share.size]
        change = augment.draw(
            changes, derive_seed("augment", seed, fold, epoch), part.data.image_numbers[rows], part.data.size, want.edge
        )
        yield _batch(part.data, rows, change, want, part.data.labels[batch])


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return how many batches ``training_batches`` yields."""
    return max(1, images // batch_size)


def evaluation_batches(part: Part, want: Input, share: Share = WHOLE) -> Iterator[Batch]:
    """Yield every image of the share once, unchanged but for its size, in the part's order."""
    of_share = part.rows[share.rank :: share.size]
    for start in range(0, len(of_share), EVALUATION_BATCH):
        rows = of_share[start : start + EVALUATION_BATCH]
        yield _batch(part.data, rows, augment.plain(len(rows), part.data.size, want.edge), want, part.data.labels[rows])


def _batch(
    data: Packed, rows: NDArray[np.int64], change: augment.Change, want: Input, whole_labels: NDArray[np.int64]
) -> Batch:
    images = augment.apply(data.gather(rows), change, want.edge)
    return Batch(want.tensor(images), torch.from_numpy(data.labels[rows]).to(want.device), whole_labels)
