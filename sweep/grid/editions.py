"""Editions of the defaults: what a grid means where it is silent. A study keeps the edition that it was begun with.

Mending a default changes results. So a default is never changed in place: a new edition gives the field another value,
and new studies get it. An edition is not hashed: it fills in fields, which are. The first edition is what the schema's
own defaults say, which for a field that is added later is ``FIELDS_ADDED_LATER``: what was done before it existed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trainables.data.readers.reading_defaults import MENDED

FIRST = 1
"""The edition of every study whose ``study.json`` names none."""
LATEST = 2


class Default(NamedTuple):
    """The default of a field from an edition on.

    Attributes:
        section: ``recipe``, ``split``, ``range_test`` (of every range test), ``data`` (of every data set) or ``grid`` (its top level).
        field: its name there.
        value: as a grid would give it.
        why: what changed, as the documentation says it.
    """

    section: str
    field: str
    value: Any
    why: str


CHANGES: dict[int, tuple[Default, ...]] = {
    2: (
        Default(
            "recipe", "epoch_ties", "val_loss", "of epochs with equal val F1 the one of lower val loss, then the later"
        ),
        Default(
            "range_test",
            "rule",
            "median",
            "the middle one of three rules, of which the ramp's bounds move the choice less than of the steepest fall per unit of rate",
        ),
        Default("range_test", "edge_steps", 2, "a choice within two steps of an end of the curve is not taken"),
        *(Default("data", field, value, why) for field, (value, why) in MENDED.items()),
        Default(
            "grid",
            "rule_values",
            "converted",
            "values of exclude and defaults.match are converted like those of their axis (1e-2, which YAML reads as text; "
            '"1" for a fold), and each must match something',
        ),
        Default("recipe", "normalisation", "auto", "that of the weights a network starts from"),
        Default("recipe", "precision", "auto", "on a CPU, bf16 only of networks with few depthwise convolutions"),
    ),
}
"""Edition -> the defaults that it changed."""


def is_edition(value: Any) -> bool:
    """Return whether a value is the number of an edition."""
    return type(value) is int and FIRST <= value <= LATEST


def edition_note(edition: int) -> str:
    """Return what a plan and a run say of the edition of a study: which defaults a new study would have instead.

    Args:
        edition: of the study.
    """
    if edition == LATEST:
        return f"defaults of edition {edition}"
    later = [change for since, changes in CHANGES.items() if since > edition for change in changes]
    changed = ", ".join(f"{change.section}.{change.field}" for change in later)
    return f"defaults of edition {edition}. A new study has edition {LATEST}, which changes {changed} (docs/grids.md says why)"


def fill_defaults(grid: dict[str, Any], edition: int) -> None:
    """Write the defaults of an edition into a grid, in place, where it is silent. Parts of the wrong type are left alone.

    Args:
        grid: content of a grid file, before its schema is checked.
        edition: of the defaults.
    """
    grid["edition"] = edition
    for default in (default for since, changed in CHANGES.items() if since <= edition for default in changed):
        for place in _places(grid, default.section):
            place.setdefault(default.field, default.value)


def _places(grid: dict[str, Any], section: str) -> Iterator[dict[str, Any]]:
    """Yield the mappings that a section stands for."""
    if section == "range_test":
        axes, pretrain = grid.get("axes"), grid.get("pretrain")
        found = [part.get("learning_rate") for part in (axes, pretrain) if isinstance(part, dict)]
        candidates = [rates.get(section) for rates in found if isinstance(rates, dict)]
    elif section == "data":
        data = grid.get(section)
        candidates = list(data.values()) if isinstance(data, dict) else []
    elif section == "grid":
        candidates = [grid]
    else:
        candidates = [grid.setdefault(section, {})]
    yield from (place for place in candidates if isinstance(place, dict))
