"""A rehearsal: the same grid through the same code, every stage of it, with a handful of images and steps.

It finds a mistake before it costs GPU-hours. It has a study folder and keys of its own.
"""

from __future__ import annotations

from typing import Any

from trainables.specs import Ramp

SUFFIX = "-rehearsal"
"""Ends the name of the study of a rehearsal."""
RECIPE: dict[str, Any] = {"epochs": 1, "threads": 1, "precision": "auto", "warmup_epochs": 0}
BATCH_SIZE = 4
IMAGES_PER_FOLD = 2
PRETRAIN_IMAGES = 6


def images(folds: int, is_target: bool) -> dict[str, int]:
    """Return the change of a data set: how many images of each class are used.

    Args:
        folds: of the target.
        is_target: whether the data set is the target, of which every fold needs images.
    """
    return {"at_most": IMAGES_PER_FOLD * folds if is_target else PRETRAIN_IMAGES}


def recipe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe with less work: network and input stay."""
    return {**settings, **RECIPE, "batch_size": min(BATCH_SIZE, settings.get("batch_size", BATCH_SIZE))}


def ramp(real: Ramp) -> Ramp:
    """Return a range test with fewer steps and images."""
    return real.model_copy(update={"steps": 10, "val_images": 8})
