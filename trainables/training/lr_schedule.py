"""Learning-rate schedules: closed forms of the step, so that a resumed stage needs no state of a scheduler."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from trainables.frozen import Frozen
from trainables.registry import Registry
from trainables.specs import Recipe

ONE_CYCLE_RISE, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 1 / 25, 1e-4 / 25
"""Smith and Topin 2019, with the numbers of torch's OneCycleLR."""


class TrainingPosition(NamedTuple):
    """Where in its training a step is.

    Attributes:
        epochs: epochs done before the step, with the part of the one under way.
        share: the same as a share of the recipe's epochs, in [0, 1].
        val_scores: val f1_macro after each finished epoch.
    """

    epochs: float
    share: float
    val_scores: Sequence[float]


class LrSchedule(Frozen, ABC):
    """A schedule. The fields of a subclass are its options, ``recipe.decay_options`` of a grid."""

    @abstractmethod
    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return what the start learning rate is multiplied by.

        Args:
            recipe: how the stage trains: ``decay_epochs`` and ``decay_factor`` are there.
            position: of the step. The factor depends on it alone.
        """


lr_schedules: Registry[type[LrSchedule]] = Registry(
    "learning-rate schedule", "lr_schedules", "trainables.training.lr_schedule", LrSchedule
)


@lr_schedules.register("constant")
class Constant(LrSchedule):
    """The start rate throughout."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return 1."""
        return 1.0


@lr_schedules.register("step")
class StepDecay(LrSchedule):
    """A drop by ``decay_factor`` every ``decay_epochs`` epochs, as torch's StepLR."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return the product of the drops so far."""
        return float(recipe.decay_factor ** math.floor(position.epochs / recipe.decay_epochs))


@lr_schedules.register("exponential")
class ExponentialDecay(LrSchedule):
    """An even fall to ``decay_factor`` of the start rate over the whole training, as torch's ExponentialLR."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return ``decay_factor`` to the power of the share of the training that is done."""
        return float(recipe.decay_factor**position.share)


@lr_schedules.register("cosine")
class CosineDecay(LrSchedule):
    """Half a cosine down to 0 (Loshchilov and Hutter 2017, without restarts), as torch's CosineAnnealingLR."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return the value of the cosine."""
        return _cosine(1.0, 0.0, position.share)


@lr_schedules.register("one_cycle")
class OneCycle(LrSchedule):
    """Up to the start rate and down to nearly 0, along cosines, as torch's OneCycleLR."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return the value of the cosine that the step is on."""
        if position.share < ONE_CYCLE_RISE:
            return _cosine(ONE_CYCLE_START, 1.0, position.share / ONE_CYCLE_RISE)
        return _cosine(1.0, ONE_CYCLE_END, (position.share - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


@lr_schedules.register("plateau")
class Plateau(LrSchedule):
    """A drop by ``decay_factor`` after ``decay_epochs`` epochs without a better score, as torch's ReduceLROnPlateau."""

    def factor(self, recipe: Recipe, position: TrainingPosition) -> float:
        """Return the product of the drops so far."""
        return float(recipe.decay_factor ** _drops(position.val_scores, recipe.decay_epochs))


def rate_factor(recipe: Recipe, step: int, steps_per_epoch: int, val_scores: Sequence[float]) -> float:
    """Return what the start learning rate is multiplied by at a step: the schedule times the warm-up.

    Args:
        recipe: its schedule and warm-up.
        step: steps done before this one, over the whole stage.
        steps_per_epoch: steps of one epoch.
        val_scores: val f1_macro after each finished epoch.

    Raises:
        UserError: if there is no such schedule.
    """
    epochs = step / steps_per_epoch
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    schedule = lr_schedules[recipe.decay].model_validate(recipe.decay_options)
    return warmup * schedule.factor(recipe, TrainingPosition(epochs, epochs / recipe.epochs, val_scores))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _drops(val_scores: Sequence[float], patience: int) -> int:
    """Count the drops: one whenever ``patience`` epochs in a row brought no better val score."""
    best, idle, drops = -math.inf, 0, 0
    for score in val_scores:
        best, idle = (score, 0) if score > best else (best, idle + 1)
        if idle == patience:
            drops, idle = drops + 1, 0
    return drops
