"""What can be wrong with axes that are settings, with zip, exclude and default rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweep.grid.axes import NAMED, SECTIONS, matters
from sweep.grid.grid import MATCHABLE, Grid
from sweep.grid.rule_coverage import touches
from sweep.grid.rules import said
from sweep.grid.schema import ALL, Axes, GridFile
from trainables.data.readers.data_spec import DataSpec
from trainables.errors import suggestion

Fault = tuple[tuple[str | int, ...], str]


def axis_setting_faults(file: GridFile) -> list[Fault]:
    """Return the faults of the axes that are settings, and of which axes go together."""
    faults: list[Fault] = []
    for axis, values in file.axes.settings.items():
        faults += [(("axes", axis), text) for text in _setting_faults(file, axis, values)]
    return faults or _zip_faults(file)


def _setting_faults(file: GridFile, axis: str, values: tuple[Any, ...]) -> Iterable[str]:
    section, *path = axis.split(".")
    if section not in SECTIONS or not path:
        yield f"unknown key axes.{axis}{suggestion(axis, Axes.model_fields)}; a setting is an axis by its dotted name, e.g. recipe.batch_size"
        return
    if not values:
        yield f"the axis {axis} is empty: give it at least one value"
    alone = not any(axis in group for group in file.zip)
    twice = {repr(value) for i, value in enumerate(values) if alone and value in values[:i]}
    yield from (f"{value} stands twice in the axis {axis}" for value in sorted(twice))
    if section == "data":
        yield from _data_faults(file, axis, path, values)
    elif not any(matters(axis, scenario) for scenario in file.scenarios.values()):
        yield f"the axis {axis} matters to no cell: no scenario pre-trains"


def _data_faults(file: GridFile, axis: str, path: list[str], values: tuple[Any, ...]) -> Iterable[str]:
    name, fields = path[0], path[1:]
    if name not in file.data:
        yield f"no data set {name} under data{suggestion(name, file.data)}"
    elif name == file.target:
        yield (
            f"{axis} would change the target: a study has one target and one split, so that its scores can be "
            f"compared. Give each value a study of its own: --set {axis}=… --study …"
        )
    elif not any(matters(axis, scenario) for scenario in file.scenarios.values()):
        yield f"the axis {axis} matters to no cell: no scenario pre-trains on {name}"
    elif len(fields) != 1 or fields[0] not in file.data[name].model_dump():
        wrong = ".".join(fields)
        yield f"unknown key {axis}{suggestion(wrong, file.data[name].model_dump())}"
    else:
        for value in values:
            try:
                content = file.data[name].model_dump() | {fields[0]: value}
                TypeAdapter[DataSpec](DataSpec).validate_python(content)
            except ValidationError as error:
                yield f"{axis}: {error.errors()[0]['msg'].lower()}, found {value!r}"


def _zip_faults(file: GridFile) -> list[Fault]:
    faults: list[Fault] = []
    axes, seen = {*NAMED, *file.axes.settings}, set[str]()
    for i, group in enumerate(file.zip):
        place = ("zip", i)
        if len(set(group)) < 2:
            faults.append((place, "axes that go together are two or more, e.g. [architecture, recipe.image_size]"))
        unknown = [axis for axis in group if axis not in axes]
        faults += [(place, f"zip: no axis {axis} under axes{suggestion(axis, axes)}") for axis in unknown]
        faults += [(place, f"zip: {axis} goes together with others already") for axis in group if axis in seen]
        seen |= set(group)
        if not unknown:
            faults += [(place, text) for text in _group_faults(file, group)]
    return faults


def _group_faults(file: GridFile, group: tuple[str, ...]) -> Iterable[str]:
    lengths: dict[str, int] = {}
    for axis in group:
        values = file.axes.settings.get(axis) if axis not in NAMED else getattr(file.axes, axis)
        if axis == "learning_rate" and not isinstance(values, tuple):
            yield "zip: learning_rate goes together with others only as a list of numbers"
            return
        if values == ALL:
            lengths[axis] = len(file.scenarios) if axis == "scenario" else file.split.folds
        else:
            lengths[axis] = len(values or ())
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{axis} has {n}" for axis, n in lengths.items())
        yield f"zip: axes that go together have equally many values; {counts}"
    elif not set(group) & set(NAMED):  # values of a named axis differ anyway
        steps = list(zip(*(file.axes.settings[axis] for axis in group), strict=True))
        yield from (f"zip: {step} stands twice" for i, step in enumerate(steps) if step in steps[:i])


def rule_faults(grid: Grid) -> list[Fault]:
    """Return the faults of exclude and default rules: names that are none, and rules that are about no cell."""
    settings = tuple(grid.file.axes.settings)
    faults: list[Fault] = []
    for i, rule in enumerate(grid.file.defaults):
        faults += _name_faults(("defaults", i, "match"), "a rule", rule.match, (*MATCHABLE, *settings))
    for i, match in enumerate(grid.file.exclude):
        faults += _name_faults(("exclude", i), "exclude", match, (*NAMED, *settings))
    wrong = {place[:2] for place, _ in faults}
    if not grid.combination.wanted:
        faults.append((("exclude",), "exclude leaves no cell: nothing would be done"))
    for touch in touches(grid):
        if touch.cells == 0 and touch.place not in wrong and grid.combination.wanted:
            faults.append(_about_nothing(grid, touch.place))
    return faults


def _about_nothing(grid: Grid, place: tuple[str | int, ...]) -> Fault:
    section, number = place[0], int(place[1])
    if section == "zip":
        return place, "zip is about no cell"
    match = grid.file.defaults[number].match if section == "defaults" else grid.file.exclude[number]
    hints = [hint for name, wanted in match.items() for hint in _hints(grid, name, wanted)]
    where = (*place, "match") if section == "defaults" else place
    what = "no stage" if section == "defaults" else "no cell"
    return (
        where,
        f"the rule for {said(match)} matches {what}{hints[0] if hints else ': is a name or value in it mistyped?'}",
    )


def _hints(grid: Grid, name: str, wanted: Any) -> Iterable[str]:
    known: dict[str, Iterable[Any]] = {
        **grid.combination.values,
        "data": grid.file.data,
        "kind": ("pretrain", "finetune"),
    }
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(value, str) and name in known and value not in known[name]:
            yield suggestion(value, map(str, known[name])) or f": {name} is never {value}"


def _name_faults(place: tuple[str | int, ...], what: str, match: dict[str, Any], valid: tuple[str, ...]) -> list[Fault]:
    unknown = [name for name in match if name not in valid]
    if not unknown:
        return []
    return [
        (place, f"{what} matches on {', '.join(valid)}; not on {', '.join(unknown)}{suggestion(unknown[0], valid)}")
    ]
