"""Settings of a recipe that a grid may leave to the project: ``auto``. They are resolved for each network and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.grid.auto.precision import Bf16On, KeptPrecision, Precision, of_this_machine, precision_for
from trainables.models.complexity import DEFAULT_TAG, known, shape_of
from trainables.normalisation import Normalisation
from trainables.specs import ModelSpec

AUTO = "auto"
AUTO_FIELDS = ("precision", "normalisation")
BY_NETWORK = 2
"""The edition from which ``precision: auto`` looks at the network."""


def published_normalisation(model: ModelSpec, version: str | None) -> Normalisation | None:
    """Return the normalisation of the weights that a network starts from.

    Args:
        model: the network.
        version: of the weights; None: they are random or a file, and taken to be like the library's default weights.

    Returns:
        It; None of a class of the user's, which says it itself.
    """
    row = known().get(model.model)
    return None if row is None else row.normalisation(DEFAULT_TAG if version is None else version)


def auto_precision(name: str, model: ModelSpec, edition: int, kept: KeptPrecision | None) -> Precision:
    """Return what ``precision: auto`` means for an architecture.

    Args:
        name: of the architecture.
        model: its network.
        edition: of the grid's defaults.
        kept: what it means in the study; None: the study is new.
    """
    if kept is not None and (held := kept.single or kept.of.get(name)) is not None:
        return held
    units: Bf16On = of_this_machine() if kept is None else kept.bf16_on
    if edition < BY_NETWORK:
        return "float32" if units == "none" else "bf16"
    shape = shape_of(model)
    return precision_for(units, None if shape is None else shape.depthwise)


def keep_precision(models: Mapping[str, ModelSpec], edition: int, kept: KeptPrecision | None) -> KeptPrecision:
    """Return what a study keeps of ``precision: auto``: that of every architecture that it has or had.

    Args:
        models: architecture -> network.
        edition: of the grid's defaults.
        kept: what the study keeps already; None: it is new.
    """
    units = of_this_machine() if kept is None else kept.bf16_on
    found = {name: auto_precision(name, model, edition, kept) for name, model in models.items()}
    if edition < BY_NETWORK or (kept is not None and kept.single is not None):
        return KeptPrecision({}, units, next(iter(found.values()), "float32"))
    return KeptPrecision({**(kept.of if kept else {}), **found}, units)


def is_auto(settings: Mapping[str, Any], field: str, silent: Any = AUTO) -> bool:
    """Return whether a recipe leaves a field to the project.

    Args:
        settings: of the recipe.
        field: one of ``AUTO_FIELDS``.
        silent: what a recipe without the field means.
    """
    given = settings.get(field, silent)
    return isinstance(given, str) and given == AUTO
