"""Fields of a stage that were added after the first release, and what keeps the keys of older stages."""

from __future__ import annotations

from typing import Any

FIELDS_ADDED_LATER: dict[str, Any] = {
    "ramp": None,
    "ramp.edge_steps": None,
    "found_rate": None,
    "recipe.micro_batch": None,
    "recipe.compile": False,
    "recipe.optimizer_options": {},
    "recipe.decay_options": {},
    "recipe.stopping": "patience",
    "recipe.stopping_options": {},
    "recipe.metrics": (),
    "recipe.epoch_ties": "earliest",
    "recipe.augmentation.operations": (),
    "recipe.normalisation": None,
    "data.reader": None,
    "plugins": (),
}
"""Dotted name of a field added after the first release -> the value that means what was done before it existed. At that
value it is left out of the hash, so that old keys stay. It is a constant, whatever the default is today."""


def without_later_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """Drop, in place, the later fields that stand at their introduction value; return the content."""
    for dotted, introduced in FIELDS_ADDED_LATER.items():
        *path, last = dotted.split(".")
        place: Any = content
        for part in path:
            place = place.get(part, {})
        if last in place and place[last] == introduced:
            del place[last]
    return content
