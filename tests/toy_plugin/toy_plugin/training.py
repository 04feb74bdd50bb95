"""A schedule, a stopping rule, a metric and an augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from trainables.data.loading.augmentations.base import AugmentationSpec
from trainables.specs import Recipe
from trainables.training.early_stopping import StoppingRule, ValMetrics
from trainables.training.lr_schedule import LrSchedule, TrainingPosition
from trainables.training.metrics import Metric

if TYPE_CHECKING:
    import torch


class Linear(LrSchedule):
    """A straight line from 1 to ``end``."""

    end: float = Field(0.0, ge=0, le=1)

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        return 1 + (self.end - 1) * position.share


class ValLossBelow(StoppingRule):
    """Stops once val loss has come below a limit."""

    limit: float

    def stops(self, recipe: Recipe, val: ValMetrics) -> bool:
        return val[-1]["loss"] < self.limit


class MeanConfidence(Metric):
    """The mean of the highest softmax value."""

    def compute(self, labels: np.ndarray, logits: np.ndarray) -> float:
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return float((1 / exponentials.sum(1)).mean())


class Negative(AugmentationSpec):
    """The negative of an image, with some probability."""

    probability: float = Field(0.5, ge=0, le=1)
    draws: ClassVar[int] = 1

    def apply(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.where(draws[:, :, None, None] < self.probability, 255 - images, images)
