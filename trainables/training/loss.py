"""The training loss: cross entropy over the whole batch, whatever the number of workers and micro-batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from trainables.arrays import Ints
from trainables.data.loading.batches import Part
from trainables.specs import Recipe


class BatchLoss:
    """Cross entropy with label smoothing and class weights, whose pieces add up to the mean loss of a batch."""

    def __init__(self, recipe: Recipe, weights: torch.Tensor | None, device: torch.device) -> None:
        """Move the class weights to the device.

        Args:
            recipe: its label smoothing.
            weights: of the classes, shape (classes,); None: all alike.
            device: of the logits.
        """
        self._weights = None if weights is None else weights.to(device)
        self._criterion = nn.CrossEntropyLoss(self._weights, label_smoothing=recipe.label_smoothing, reduction="sum")

    def piece(self, logits: torch.Tensor, labels: torch.Tensor, weight: float) -> torch.Tensor:
        """Return what some images of a batch add to its mean loss, a scalar.

        Args:
            logits: shape (n, classes).
            labels: shape (n,).
            weight: ``batch_weight`` of the whole batch.
        """
        loss: torch.Tensor = self._criterion(logits, labels) / weight
        return loss

    def batch_weight(self, labels: Ints) -> float:
        """Return what the loss of a batch is divided by: its images, or the sum of the weights of their classes."""
        if self._weights is None:
            return float(len(labels))
        return float(self._weights[torch.from_numpy(labels)].sum())


def class_weights(recipe: Recipe, part: Part) -> torch.Tensor | None:
    """Return the weight of each class in the loss.

    Args:
        recipe: ``none``, or ``balanced``: images / (classes × images of the class).
        part: the training images.

    Returns:
        weights, shape (classes,), or None where all classes count alike.
    """
    if recipe.class_weights == "none":
        return None
    classes = len(part.data.classes)
    counts = np.bincount(part.labels, minlength=classes)
    return torch.tensor(len(part) / (classes * np.maximum(counts, 1)), dtype=torch.float32)
