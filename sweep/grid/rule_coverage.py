"""How many cells each rule of a grid (zip, exclude, defaults) applies to. A rule that applies to none is a fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sweep.grid.axes import NAMED, Point
from sweep.grid.faults import Fault
from sweep.grid.grid import MATCHABLE, Grid
from sweep.grid.learning_rates import Rate
from sweep.grid.rules import describe, matches
from sweep.grid.yaml_document import Path
from trainables.errors import UserError, suggestion


@dataclass(frozen=True)
class RuleCoverage:
    """A rule and the cells that it applies to.

    Attributes:
        place: path of the rule in the grid's document.
        text: the rule, as tables show it.
        cells: how many cells it applies to.
    """

    place: tuple[str | int, ...]
    text: str
    cells: int


def rule_coverage(grid: Grid) -> list[RuleCoverage]:
    """Count the cells that each rule excludes (``exclude``), or that are not excluded and made with it (the others).

    A default rule for pre-training applies to the cells that start from it.
    """
    file = grid.file
    excluded, made_with, kept = [0] * len(file.exclude), [0] * len(file.defaults), 0
    if not (file.exclude or file.defaults or file.zip):
        return []
    for point in grid.combination.points():
        cells, rates = 0, _rates(grid, point)
        alike = rates if grid.combination.by_rate else rates[:1]
        for rate in alike:
            excluding, times = grid.combination.excluding(point, rate), len(rates) // len(alike)
            cells += 0 if excluding else times
            for i in excluding:
                excluded[i] += times
        kept += cells
        for i in _defaults_of(grid, point) if cells else ():
            made_with[i] += cells
    return [
        *(RuleCoverage(("zip", i), f"zip {', '.join(group)}", kept) for i, group in enumerate(file.zip)),
        *(
            RuleCoverage(("exclude", i), f"exclude {describe(rule)}", excluded[i])
            for i, rule in enumerate(file.exclude)
        ),
        *(
            RuleCoverage(("defaults", i), f"defaults for {describe(rule.match)}", made_with[i])
            for i, rule in enumerate(file.defaults)
        ),
    ]


def _rates(grid: Grid, point: Point) -> tuple[Rate | None, ...]:
    """Return the learning rates of a point; one unknown rate (None) if they cannot be resolved."""
    if point.rate is not None:
        return (point.rate,)
    try:
        return grid.cell_rates(point.scenario, point.architecture)
    except (UserError, ValidationError):  # another check says so, or the point is excluded
        return (None,)


def _defaults_of(grid: Grid, point: Point) -> list[int]:
    """Return the indices of the default rules that a cell, or a pre-training it starts from, matches."""
    labels = stage_labels(grid, point)
    return [i for i, rule in enumerate(grid.file.defaults) if any(matches(rule.match, one) for one in labels)]


def stage_labels(grid: Grid, point: Point) -> list[dict[str, Any]]:
    """Return what rules match on, of the cell of a point and of each pre-training that it starts from."""
    labels: list[dict[str, Any]] = [{"kind": "finetune", "data": grid.file.target, **point.labels()}]
    for data in grid.scenarios[point.scenario].pretrain:
        labels.append({"kind": "pretrain", "data": data, **point.labels(), "fold": None})
    return labels


def check_rule_names(grid: Grid) -> Iterator[Fault]:
    """Yield the rules that match on names which are not labels of a stage or of a cell."""
    settings = tuple(grid.file.axes.settings)
    for i, rule in enumerate(grid.file.defaults):
        yield from _name_faults(("defaults", i, "match"), "a rule", rule.match, (*MATCHABLE, *settings))
    for i, match in enumerate(grid.file.exclude):
        yield from _name_faults(("exclude", i), "exclude", match, (*NAMED, *settings))


def check_rule_coverage(grid: Grid) -> Iterator[Fault]:
    """Yield the rules that apply to no cell."""
    if not grid.combination.included:
        yield ("exclude",), "exclude leaves no cell: nothing would be done"
        return
    misnamed = {path[:2] for path, _ in check_rule_names(grid)}
    for rule in rule_coverage(grid):
        if rule.cells == 0 and rule.place not in misnamed:
            yield _applies_to_nothing(grid, rule.place)


def _applies_to_nothing(grid: Grid, at: Path) -> Fault:
    section, number = at[0], int(at[1])
    if section == "zip":
        return at, "zip applies to no cell"
    of_stages = section == "defaults"
    match = grid.file.defaults[number].match if of_stages else grid.file.exclude[number]
    hints = (hint for name, wanted in match.items() for hint in _hints(grid, name, wanted))
    why = next(hints, ": is a name or value in it mistyped?")
    text = f"the rule for {describe(match)} matches {'no stage' if of_stages else 'no cell'}{why}"
    return (*at, "match") if of_stages else at, text


def _hints(grid: Grid, name: str, wanted: Any) -> Iterator[str]:
    """Yield, for each value of a rule that the label never has, the nearest values that it has."""
    known: dict[str, Iterable[Any]] = {
        **grid.combination.values,
        "data": grid.file.data,
        "kind": ("pretrain", "finetune"),
    }
    for value in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(value, str) and name in known and value not in known[name]:
            yield suggestion(value, map(str, known[name])) or f": {name} is never {value}"


def _name_faults(at: Path, what: str, match: Mapping[str, Any], valid: tuple[str, ...]) -> Iterator[Fault]:
    if unknown := [name for name in match if name not in valid]:
        hint = suggestion(unknown[0], valid)
        yield at, f"{what} matches on {', '.join(valid)}; not on {', '.join(unknown)}{hint}"
