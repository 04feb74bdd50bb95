"""Checks of recipes, of axes that are settings, and of axes that are zipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from sweep.grid.auto.settings import AUTO, AUTO_FIELDS
from sweep.grid.axes import NAMED, RECIPE_SECTIONS, SECTIONS, changes
from sweep.grid.faults import Fault, schema_faults
from sweep.grid.grid import Grid
from sweep.grid.rules.nesting import changed_data, nested
from sweep.grid.rules.values import converted
from sweep.grid.schema import ALL, Axes, GridFile
from sweep.grid.yaml_document import Path
from trainables.data.readers.data_spec import DataSpec
from trainables.entry_spec import SECTION
from trainables.errors import suggestion
from trainables.specs import Recipe


def check_recipes(grid: Grid) -> Iterator[Fault]:
    """Yield the faults of the sections and rules that change recipes."""
    return recipe_faults(grid.document.value)


def recipe_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of the recipe sections of a grid file, whatever else is wrong with it."""
    for name in RECIPE_SECTIONS:
        besides = ("learning_rate",) if name == "pretrain" else ()
        yield from _section_faults((name,), document.get(name), besides)
    rules = document.get("defaults")
    for i, rule in enumerate(rules if isinstance(rules, list) else []):
        yield from _section_faults(("defaults", i, "set"), rule.get("set") if isinstance(rule, dict) else None)


def check_setting_values(grid: Grid) -> Iterator[Fault]:
    """Yield the faults of the values of axes that change recipes."""
    for axis, values in grid.file.axes.settings.items():
        section, *path = axis.split(".")
        if path and section in RECIPE_SECTIONS:
            for i, value in enumerate(values):
                for _, text in _section_faults((section,), nested(path, value)):
                    yield ("axes", axis, i), text


def _section_faults(at: Path, fields: Any, besides: tuple[str, ...] = ()) -> Iterator[Fault]:
    """Yield the faults of changes of a recipe.

    Args:
        at: path of the changes in the document.
        fields: the changes; what is not a mapping is a fault of the schema.
        besides: keys that are allowed though a recipe has no such field.
    """
    if not isinstance(fields, dict):
        return
    changed = {k: v for k, v in fields.items() if k not in besides and not (k in AUTO_FIELDS and v == AUTO)}
    try:
        Recipe.model_validate(changed, context=SECTION)
    except ValidationError as error:
        yield from schema_faults(error, fields, at, Recipe)


def check_settings(grid: Grid) -> Iterator[Fault]:
    """Yield the faults of the axes that are settings; if they have none, those of the axes that are zipped."""
    axes = grid.file.axes.settings
    faults = [fault for axis, values in axes.items() for fault in _axis_faults(grid.file, axis, values)]
    yield from faults or _zip_faults(grid.file)


def _axis_faults(file: GridFile, axis: str, values: tuple[Any, ...]) -> Iterator[Fault]:
    at = ("axes", axis)
    section, *path = axis.split(".")
    if section not in SECTIONS or not path:
        hint = f"{suggestion(axis, Axes.model_fields)}; a setting is an axis by its dotted name, e.g. recipe.batch_size"
        yield at, f"unknown key axes.{axis}{hint}"
        return
    if not values:
        yield at, f"the axis {axis} is empty: give it at least one value"
    if not any(axis in group for group in file.zip):
        as_written = file.rule_values == "as_written"
        taken = values if as_written else [converted(file.data, axis, value) for value in values]
        yield from (((*at, i), f"{values[i]!r} is given twice in the axis {axis}") for i, _ in repeated(taken))
    pretrains = any(changes(axis, scenario) for scenario in file.scenarios.values())
    if section == "data":
        yield from _data_faults(file, axis, values, pretrains)
    elif not pretrains:
        yield at, f"the axis {axis} changes no cell: no scenario pre-trains"


def _data_faults(file: GridFile, axis: str, values: tuple[Any, ...], pretrains: bool) -> Iterator[Fault]:
    at, (_, name, *fields) = ("axes", axis), axis.split(".")
    if name not in file.data:
        yield at, f"no data set {name} under data{suggestion(name, file.data)}"
    elif name == file.target:
        yield (
            at,
            f"{axis} would change the target: a study has one target and one split, so that its scores can be "
            f"compared. Give each value a study of its own: --set {axis}=… --study …",
        )
    elif not pretrains:
        yield at, f"the axis {axis} changes no cell: no scenario pre-trains on {name}"
    elif len(fields) != 1 or fields[0] not in type(file.data[name]).model_fields:
        yield at, f"unknown key {axis}{suggestion('.'.join(fields), type(file.data[name]).model_fields)}"
    else:
        for i, value in enumerate(values):
            change = {fields[0]: value}
            try:
                changed_data(file.data[name], change)
            except ValidationError as error:
                faults = schema_faults(error, change, ("data", name), DataSpec)
                yield from (((*at, i), text) for _, text in faults)


def _zip_faults(file: GridFile) -> Iterator[Fault]:
    axes, zipped = {*NAMED, *file.axes.settings}, set[str]()
    for i, group in enumerate(file.zip):
        at = ("zip", i)
        if len(set(group)) < 2:
            yield at, "zip: a group is two axes or more, e.g. [architecture, recipe.image_size]"
        unknown = [axis for axis in group if axis not in axes]
        yield from ((at, f"zip: no axis {axis} under axes{suggestion(axis, axes)}") for axis in unknown)
        yield from ((at, f"zip: {axis} is in another group already") for axis in group if axis in zipped)
        zipped |= set(group)
        if not unknown:
            yield from ((at, text) for text in _group_faults(file, group))


def _group_faults(file: GridFile, group: tuple[str, ...]) -> Iterator[str]:
    everything = {"scenario": tuple(file.scenarios), "fold": tuple(range(file.split.folds))}
    values: dict[str, Any] = {}
    for axis in group:
        given = file.axes.settings.get(axis) if axis not in NAMED else getattr(file.axes, axis)
        values[axis] = everything[axis] if given == ALL else given
    if not all(isinstance(of_axis, tuple) for of_axis in values.values()):
        yield "zip: learning_rate goes together with other axes only as a list of numbers"
    elif len({len(of_axis) for of_axis in values.values()}) > 1:
        counts = ", ".join(f"{axis} has {len(of_axis)}" for axis, of_axis in values.items())
        yield f"zip: the axes of a group have equally many values; {counts}"
    elif not set(group) & set(NAMED):  # the values of a named axis differ anyway
        yield from (f"zip: {step} is given twice" for _, step in repeated(zip(*values.values(), strict=True)))


def repeated(values: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the index and the value of each value that equals an earlier one."""
    hashable, others = set[Any](), list[Any]()
    for i, value in enumerate(values):
        try:
            is_known = value in hashable
            hashable.add(value)
        except TypeError:  # a list or a mapping
            is_known = value in others
            others.append(value)
        if is_known:
            yield i, value
