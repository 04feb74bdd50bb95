"""How many cells each rule of a grid (zip, exclude, defaults) applies to. A rule that applies to none is a fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sweep.grid.axes import NAMED, Point
from sweep.grid.faults import Fault, short
from sweep.grid.grid import MATCHABLE, Grid
from sweep.grid.learning_rates import Rate
from sweep.grid.rules.matching import describe, matches
from sweep.grid.rules.values import listed
from sweep.grid.yaml_document import Path
from trainables.errors import UserError, suggestion


@dataclass(frozen=True)
class RuleCoverage:
    """A rule and the cells that it applies to.

    Attributes:
        place: path of the rule in the grid's document.
        text: the rule, as tables show it.
        cells: how many cells it applies to.
        found: label -> its values in the cells or stages that match.
    """

    place: tuple[str | int, ...]
    text: str
    cells: int
    found: Mapping[str, Collection[Any]]


class _Tally:
    """Counts the cells of a rule, and notes which values they have of the labels for which it lists several."""

    def __init__(self, match: Mapping[str, Any]) -> None:
        self.match = match
        self.cells = 0
        self.found: dict[str, list[Any]] = {name: [] for name in match}

    def add(self, cells: int, labels: Mapping[str, Any]) -> None:
        """Count cells that match.

        Args:
            cells: how many.
            labels: of the cells, or of the stage that matches.
        """
        self.cells += cells
        for name, found in self.found.items():
            if labels[name] not in found:
                found.append(labels[name])


def rule_coverage(grid: Grid) -> list[RuleCoverage]:
    """Count the cells that each rule excludes (``exclude``), or that are not excluded and made with it (the others).

    A default rule for pre-training applies to the cells that start from it.
    """
    file = grid.file
    excluded, made_with, kept = [*map(_Tally, grid.combination.exclude)], [*map(_Tally, grid.matches)], 0
    if not (file.exclude or file.defaults or file.zip):
        return []
    for point in grid.combination.points():
        cells, rates = 0, _rates(grid, point)
        alike = rates if grid.combination.by_rate else rates[:1]
        for rate in alike:
            excluding, times = grid.combination.excluding(point, rate), len(rates) // len(alike)
            cells += 0 if excluding else times
            for i in excluding:
                excluded[i].add(times, point.labels() | {"learning_rate": rate if isinstance(rate, float) else None})
        kept += cells
        for tally in made_with if cells else ():
            _add_stages(tally, cells, stage_labels(grid, point))
    return [
        *(RuleCoverage(("zip", i), f"zip {', '.join(group)}", kept, {}) for i, group in enumerate(file.zip)),
        *(
            RuleCoverage(("exclude", i), f"exclude {describe(rule)}", excluded[i].cells, excluded[i].found)
            for i, rule in enumerate(file.exclude)
        ),
        *(
            RuleCoverage(
                ("defaults", i), f"defaults for {describe(rule.match)}", made_with[i].cells, made_with[i].found
            )
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


def _add_stages(tally: _Tally, cells: int, labels: Iterable[Mapping[str, Any]]) -> None:
    """Count cells for a default rule, once, if they or a pre-training that they start from match it."""
    for i, matching in enumerate(one for one in labels if matches(tally.match, one)):
        tally.add(0 if i else cells, matching)


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
    """Yield the rules that apply to no cell, and the listed values of the others that do not."""
    if not grid.combination.included:
        yield ("exclude",), "exclude leaves no cell: nothing would be done"
        return
    misnamed = {path[:2] for path, _ in check_rule_names(grid)}
    for rule in rule_coverage(grid):
        if rule.place not in misnamed:
            yield from _not_applied(grid, rule)


def _not_applied(grid: Grid, rule: RuleCoverage) -> Iterator[Fault]:
    """Yield what matches nothing: each value that no cell or stage has, or has together with the rest of the rule."""
    section, number, at = rule.place[0], int(rule.place[1]), rule.place
    if section == "zip":
        yield from [] if rule.cells else [(at, "zip applies to no cell")]
        return
    of_stages = section == "defaults"
    match = grid.file.defaults[number].match if of_stages else grid.file.exclude[number]
    values = grid.rule_values if of_stages else grid.combination.rule_values
    where: Path = (*at, "match") if of_stages else at
    nothing = f"the rule for {describe(match)} matches {'no stage' if of_stages else 'no cell'}"
    if rule.cells and values.as_written:
        return
    never = [
        (name, value) for name, wanted in match.items() for value in listed(wanted) if not values.meant(name, value)
    ]
    for name, value in never:
        yield where, f"{nothing} at {name}: {short(value)}{values.nearest(name, value)}"
    if not never and not rule.cells:
        yield where, f"{nothing}: no {'stage' if of_stages else 'cell'} has all of this at once"
    for name, wanted in match.items() if rule.cells else ():
        for value in listed(wanted):
            meant = values.meant(name, value)
            if meant and not any(one in rule.found[name] for one in meant):
                yield where, f"{nothing} at {name}: {short(value)}, which never comes with the rest of the rule"


def _name_faults(at: Path, what: str, match: Mapping[str, Any], valid: tuple[str, ...]) -> Iterator[Fault]:
    if unknown := [name for name in match if name not in valid]:
        hint = suggestion(unknown[0], valid)
        yield at, f"{what} matches on {', '.join(valid)}; not on {', '.join(unknown)}{hint}"
