"""How the learning rate changes: closed forms of the step, so that a resumed stage needs no state."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainables.specs import Recipe

ONE_CYCLE_RISE, ONE_CYCLE_START, ONE_CYCLE_END = 0.3, 1 / 25, 1e-4 / 25
"""Smith and Topin 2019, with the numbers of torch's OneCycleLR."""


def rate_factor(recipe: Recipe, step: int, steps_per_epoch: int, val_scores: Sequence[float]) -> float:
    """Return by what the start rate is multiplied at a step (counted from 0 over the whole stage).

    Args:
        recipe: its ``decay`` and warm-up.
        step: steps done before this one.
        steps_per_epoch: steps of one epoch.
        val_scores: the val score after each finished epoch (for ``plateau``).
    """
    epochs = step / steps_per_epoch
    done = epochs / recipe.epochs
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmup * _decay(recipe, epochs, done, val_scores)


def _decay(recipe: Recipe, epochs: float, done: float, val_scores: Sequence[float]) -> float:
    if recipe.decay == "step":
        return float(recipe.decay_factor ** math.floor(epochs / recipe.decay_epochs))
    if recipe.decay == "exponential":
        return float(recipe.decay_factor**done)
    if recipe.decay == "cosine":
        return _cosine(1.0, 0.0, done)
    if recipe.decay == "one_cycle":
        if done < ONE_CYCLE_RISE:
            return _cosine(ONE_CYCLE_START, 1.0, done / ONE_CYCLE_RISE)
        return _cosine(1.0, ONE_CYCLE_END, (done - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))
    if recipe.decay == "plateau":
        return float(recipe.decay_factor ** _drops(val_scores, recipe.decay_epochs))
    return 1.0


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _drops(val_scores: Sequence[float], wait: int) -> int:
    """Count the drops: one whenever ``wait`` epochs in a row brought no better val score."""
    best, idle, drops = -math.inf, 0, 0
    for score in val_scores:
        best, idle = (score, 0) if score > best else (best, idle + 1)
        if idle == wait:
            drops, idle = drops + 1, 0
    return drops
