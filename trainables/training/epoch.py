"""What training tells of its epochs: the record of one, and what happens within it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """The metrics of one epoch.

    Attributes:
        epoch: from 0.
        train: loss, accuracy and f1_macro of the steps, each image scored before its step.
        val: the same of the val part after the epoch, and the metrics that the recipe asks for.
        learning_rate: of the last step.
        images_per_second: of all workers, training only.
        seconds: of training and evaluation.
    """

    epoch: int
    train: dict[str, float]
    val: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class ProgressEvent:
    """Training goes on: epochs done, with the part of the one under way."""

    epochs: float


@dataclass(frozen=True)
class PreemptionEvent:
    """A worker's node is about to be taken away: the state is to be kept now, and nothing more is done."""
