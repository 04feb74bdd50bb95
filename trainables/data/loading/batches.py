"""Batches ready to train on, from a packed data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trainables.arrays import Pixels
from trainables.data.loading import augment
from trainables.data.loading.augment_torch import apply_tensor
from trainables.data.loading.augmentations.base import apply_operations
from trainables.data.loading.gpu_cache import GpuCache, free_bytes, make_resident
from trainables.data.packing.prepare import Packed
from trainables.hashing import derive_seed
from trainables.specs import Augmentation

Rows = NDArray[np.int64]
EVALUATION_BATCH = 64


@dataclass(frozen=True)
class WorkerShare:
    """Which part of every batch a worker gets: rows ``[rank::size]``.

    Raises:
        ValueError: unless 0 <= rank < size.
    """

    rank: int
    size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"there is no worker {self.rank} of {self.size}")

    def of(self, rows: Rows) -> Rows:
        """Return this worker's rows; none where there are fewer rows than workers."""
        return rows[self.rank :: self.size]


WHOLE = WorkerShare(0, 1)


class Batch(NamedTuple):
    """What one worker sees of a batch.

    Attributes:
        images: its share, shape (n, 3, edge, edge), normalised, channels-last in memory, on the device.
        labels: of its share, shape (n,), on the device.
        whole_labels: of the whole batch, over all workers; with it each can normalise as one worker would.
    """

    images: torch.Tensor
    labels: torch.Tensor
    whole_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Some images of a data set: a train, val or test part.

    Attributes:
        data: the whole set.
        rows: which of its images, shape (len(self),).
        resident: the images on the GPU, where they are kept there.
    """

    data: Packed
    rows: Rows
    resident: GpuCache | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels, shape (len(self),)."""
        return self.data.labels[self.rows]

    def gather(self, rows: Rows) -> Pixels | torch.Tensor:
        """Return some of its images by row of the data set: uint8, shape (len(rows), size, size, 3)."""
        return self.data.gather(rows) if self.resident is None else self.resident.take(rows)

    def on(self, device: torch.device) -> Part:
        """Return the part with its images kept on a GPU, if the device is one and has the room."""
        return replace(self, resident=make_resident(self.data, self.rows, device, free_bytes(device)))


@dataclass(frozen=True)
class InputSpec:
    """What a network wants to see: the edge in pixels, the normalisation, and where."""

    edge: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    device: torch.device

    def tensor(self, images: Pixels) -> torch.Tensor:
        """Return float images (n, 3, edge, edge), normalised, channels-last in memory, from uint8 (n, edge, edge, 3)."""
        if self.device.type != "cpu" or not len(images):
            return self._normalise(torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(torch.float32))
        count, height, width, channels = images.shape
        looked_up = cv2.LUT(images.reshape(count * height, width, channels), self._table)
        return torch.from_numpy(looked_up.reshape(images.shape)).permute(0, 3, 1, 2)

    def changed(self, images: Pixels | torch.Tensor, change: augment.AugmentParameters) -> torch.Tensor:
        """Return images as the network sees them, after random changes.

        A GPU changes them itself: those that it keeps, or others from pinned memory. Both are written and were never
        run on a GPU by us.

        Args:
            images: uint8, shape (n, source, source, 3).
            change: of these n images.

        Returns:
            images, shape (n, 3, edge, edge), normalised, channels-last in memory, on the device.
        """
        if isinstance(images, torch.Tensor):
            pixels = apply_tensor(images, change, self.edge)
        elif self.device.type == "cuda":
            pinned = torch.from_numpy(images).pin_memory().to(self.device, non_blocking=True)
            pixels = apply_tensor(pinned, change, self.edge)
        else:
            levels = augment.apply(images, change, self.edge)
            if not change.operations:
                return self.tensor(levels)
            pixels = torch.from_numpy(levels).permute(0, 3, 1, 2).to(torch.float32)
        return self._normalise(apply_operations(pixels, change.operations))

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        """What becomes of each value of each channel, shape (1, 256, 3): a CPU looks it up in half the time."""
        values = torch.arange(256, dtype=torch.float32).view(1, 256, 1, 1).repeat(1, 1, 1, 3)
        return self._normalise(values.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(1, 256, 3).numpy()

    def _normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise images (n, 3, edge, edge) of 0 to 255, channels-last in memory, in place.

        A whole row of pixels at a time: over the three channels alone the loops are too short for the processor.
        """
        count, channels, height, width = pixels.shape
        rows = pixels.permute(0, 2, 3, 1).view(count, height, width * channels)
        mean = (torch.tensor(self.mean, device=self.device) * 255).repeat(width)
        std = (torch.tensor(self.std, device=self.device) * 255).repeat(width)
        rows.sub_(mean).div_(std)
        return pixels


@dataclass(frozen=True)
class TrainingBatches:
    """The shuffled, augmented batches of a part, epoch by epoch.

    Order and changes depend on (seed, fold, epoch) and the images alone, not on the number of workers. Every batch is
    full: what is left over sits out that epoch (where there is less than one batch, it is one batch).

    Attributes:
        part: the images.
        input_spec: what the network wants to see.
        augmentation: how large the random changes may be.
        batch_size: images of a whole batch, over all workers.
        seed: the stage's.
        fold: None for pre-training.
    """

    part: Part
    input_spec: InputSpec
    augmentation: Augmentation
    batch_size: int
    seed: int
    fold: int | None

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return len(self.part) // self.batch_size or min(1, len(self.part))

    def epoch(self, number: int, share: WorkerShare = WHOLE, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, or a worker's share of each.

        Args:
            number: of the epoch, from 0.
            share: which worker this is.
            start: how many batches to skip, without decoding them.
        """
        order = np.random.default_rng(derive_seed("order", self.seed, self.fold, number)).permutation(len(self.part))
        change_seed = derive_seed("augment", self.seed, self.fold, number)
        data, edge = self.part.data, self.input_spec.edge
        for step in range(start, self.steps):
            rows = self.part.rows[order[step * self.batch_size : (step + 1) * self.batch_size]]
            own = share.of(rows)
            change = augment.draw(self.augmentation, change_seed, data.image_numbers[own], data.size, edge)
            yield _batch(self.part, own, rows, change, self.input_spec)


def evaluation_batches(part: Part, input_spec: InputSpec, share: WorkerShare = WHOLE) -> Iterator[Batch]:
    """Yield every image of a part once, unchanged but for its size, in the part's order.

    The shares of the workers are not padded: together they are the part, each image once. ``whole_labels`` are of this
    worker's batch.

    Args:
        part: the images.
        input_spec: what the network wants to see.
        share: which worker this is.
    """
    own = share.of(part.rows)
    for first in range(0, len(own), EVALUATION_BATCH):
        rows = own[first : first + EVALUATION_BATCH]
        yield _batch(part, rows, rows, augment.plain(len(rows), part.data.size, input_spec.edge), input_spec)


def _batch(part: Part, own: Rows, whole: Rows, change: augment.AugmentParameters, input_spec: InputSpec) -> Batch:
    images = input_spec.changed(part.gather(own), change)
    labels = torch.from_numpy(part.data.labels[own]).to(input_spec.device, non_blocking=True)
    return Batch(images, labels, part.data.labels[whole])
