"""The kinds of entries that a stage is made of, and where the registry of each is."""

from __future__ import annotations

import pkgutil
from typing import Any

from trainables.registry.registry import Registry

REGISTRIES = {
    "reader": "trainables.data.readers.base:readers",
    "augmentation": "trainables.data.loading.augmentations.base:augmentations",
    "optimizer": "trainables.training.optimizers.base:optimizers",
    "learning-rate schedule": "trainables.training.lr_schedule:lr_schedules",
    "stopping rule": "trainables.training.early_stopping:stopping_rules",
    "metric": "trainables.training.metrics:metrics",
}
"""Kind -> module and name of its registry. By name, because a specification is checked against the registries, and
they lie in rooms that import the specifications."""


def registry_of(kind: str) -> Registry[Any]:
    """Return the registry of a kind, a key of ``REGISTRIES``."""
    registry: Registry[Any] = pkgutil.resolve_name(REGISTRIES[kind])
    return registry
