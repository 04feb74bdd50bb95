"""Loss and confusion matrix of the epoch under way, summed up step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from trainables.arrays import Ints
from trainables.data.loading.batches import Batch
from trainables.training.distributed import DistributedContext
from trainables.training.metrics import confusion, history_metrics

COUNT_EVERY = 64
"""Steps whose predictions wait on the device: to count them, the host waits for it."""


@dataclass
class EpochTotals:
    """What the epoch under way has seen so far.

    Attributes:
        steps: number of steps taken.
        loss: sum over steps of mean loss × images, a float64 scalar on the device.
        counted: confusion matrix of the steps that are counted, shape (classes, classes).
        seconds: spent on it.
    """

    steps: int
    loss: torch.Tensor
    counted: Ints
    seconds: float
    _waiting: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    @classmethod
    def empty(cls, classes: int, device: torch.device) -> EpochTotals:
        """Begin an epoch.

        Args:
            classes: number of classes.
            device: where the losses are.
        """
        loss = torch.zeros((), dtype=torch.float64, device=device)
        return cls(0, loss, np.zeros((classes, classes), dtype=np.int64), 0.0)

    def add(self, batch: Batch, loss: torch.Tensor, predicted: torch.Tensor) -> None:
        """Add a step.

        Args:
            batch: this worker's share.
            loss: what it adds to the mean loss of the batch, a scalar.
            predicted: predicted classes, shape (n,).
        """
        self._waiting.append((batch.labels, predicted))
        self.loss += loss.double() * len(batch.whole_labels)
        self.steps += 1
        if len(self._waiting) == COUNT_EVERY:
            self.matrix()

    def matrix(self) -> Ints:
        """Return the confusion matrix of all steps so far, shape (classes, classes)."""
        if self._waiting:
            labels, predicted = (torch.cat(tensors).cpu().numpy() for tensors in zip(*self._waiting, strict=True))
            self.counted = self.counted + confusion(labels, predicted, len(self.counted))
            self._waiting.clear()
        return self.counted

    def of_all(self, distributed: DistributedContext) -> EpochTotals:
        """Return the totals of all workers. Collective."""
        own = np.concatenate([[float(self.loss)], self.matrix().reshape(-1).astype(np.float64)])
        loss, *counts = distributed.all_reduce(own)
        return EpochTotals(
            self.steps,
            torch.tensor(loss, dtype=torch.float64, device=distributed.device),
            np.array(counts, dtype=np.int64).reshape(self.counted.shape),
            self.seconds,
        )

    def metrics(self) -> dict[str, float]:
        """Return loss, accuracy and f1_macro."""
        return {"loss": float(self.loss) / self.images, **history_metrics(self.matrix())}

    @property
    def images(self) -> int:
        """Images seen."""
        return int(self.matrix().sum())

    def state(self) -> dict[str, Any]:
        """Return the totals as a checkpoint holds them: tensors and plain values."""
        matrix = torch.from_numpy(self.matrix())
        return {"steps": self.steps, "loss": self.loss, "matrix": matrix, "seconds": self.seconds}

    @classmethod
    def from_state(cls, state: dict[str, Any], distributed: DistributedContext) -> EpochTotals:
        """Return the totals of a checkpoint. They are counted once: the other workers begin at 0.

        Args:
            state: what ``state`` returned.
            distributed: the workers; this one's device.
        """
        share = int(distributed.is_main)
        loss = state["loss"].to(distributed.device) * share
        return cls(state["steps"], loss, state["matrix"].cpu().numpy() * share, state["seconds"])
