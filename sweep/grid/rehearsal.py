"""A rehearsal: the same grid through the same code, every stage, with a handful of images and steps.

It finds the typo before the paid hours do. It lies in a folder of its own, and its keys are its own.
"""

from __future__ import annotations

from typing import Any

from trainables.specs import Ramp

SUFFIX = "-rehearsal"
RECIPE: dict[str, Any] = {"epochs": 1, "threads": 1, "precision": "auto", "warmup_epochs": 0}
BATCH = 4
IMAGES_PER_FOLD = 2
PRETRAIN_IMAGES = 6


def images(folds: int, is_target: bool) -> dict[str, int]:
    """Return what is changed of a data set: so many images of each class are used."""
    return {"at_most": IMAGES_PER_FOLD * folds if is_target else PRETRAIN_IMAGES}


def recipe(merged: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe as it is rehearsed: the network and its input stay, the work shrinks."""
    return {**merged, **RECIPE, "batch_size": min(BATCH, merged.get("batch_size", BATCH))}


def ramp(real: Ramp) -> Ramp:
    """Return a range test as it is rehearsed."""
    return real.model_copy(update={"steps": 10, "val_images": 8})
