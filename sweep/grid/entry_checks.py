"""Faults in the options of registry entries (optimizer, schedule, metrics, …), found on the merged recipes of a grid.

One section may name an entry and another give its options, so a section alone does not tell.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sweep.grid.axes import RECIPE_SECTIONS
from sweep.grid.grid import Grid
from sweep.grid.rule_coverage import stage_labels
from trainables.entry_spec import BAD_OPTIONS

Place = tuple[str | int, ...]


def check_entry_options(grid: Grid) -> list[tuple[Place, str]]:
    """Return the faults of all recipes of a grid: where in the document, and what.

    The options of an entry that another distribution publishes are checked in a child process.
    """
    faults: dict[tuple[Place, str], None] = {}
    for point in grid.combination.included:
        for labels in stage_labels(grid, point):
            try:
                grid.recipe(labels, point.settings)
            except ValidationError as error:
                faults |= {
                    (_place(grid, str(fault["loc"][0])), fault["msg"]): None
                    for fault in error.errors()
                    if fault["type"] == BAD_OPTIONS  # the others are told of the sections that have them
                }
    return list(faults)


def _place(grid: Grid, field: str) -> Place:
    """Where a grid gives a field of the recipe, or the entry whose options the field holds: the most specific section."""
    document, name = grid.document.value, field.removesuffix("_options")
    axes = [axis for axis in grid.file.axes.settings if axis.split(".")[1] in (field, name)]
    if axes:
        return ("axes", axes[-1])
    sections: list[tuple[Place, Any]] = [((section,), document.get(section)) for section in RECIPE_SECTIONS]
    sections += [(("defaults", i, "set"), rule.set) for i, rule in enumerate(grid.file.defaults)]
    found = [(*place, key) for place, content in sections for key in (name, field) if content and key in content]
    return found[-1] if found else ("recipe",)
