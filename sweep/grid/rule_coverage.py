"""How many cells each rule of a grid is about. A rule that is about none is a mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sweep.grid.axes import Point
from sweep.grid.grid import Grid
from sweep.grid.learning_rates import Rate
from sweep.grid.rules import matches, said
from trainables.errors import UserError


@dataclass(frozen=True)
class RuleCoverage:
    """A rule and the number of cells it is about.

    Attributes:
        place: where it stands in the grid.
    """

    place: tuple[str | int, ...]
    text: str
    cells: int


def touches(grid: Grid) -> list[RuleCoverage]:
    """Count, for each rule, the cells: left out by it (``exclude``), or (the others) kept and made with it.

    A default rule for pre-training is about the cells that start from it.
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
        *(RuleCoverage(("exclude", i), f"exclude {said(rule)}", excluded[i]) for i, rule in enumerate(file.exclude)),
        *(
            RuleCoverage(("defaults", i), f"defaults for {said(rule.match)}", made_with[i])
            for i, rule in enumerate(file.defaults)
        ),
    ]


def _rates(grid: Grid, point: Point) -> tuple[Rate | None, ...]:
    if point.rate is not None:
        return (point.rate,)
    try:
        return grid.cell_rates(point.scenario, point.architecture)
    except UserError:  # it is said elsewhere, or the point is not wanted
        return (None,)


def _defaults_of(grid: Grid, point: Point) -> list[int]:
    """Return the numbers of the default rules that a cell, or a pre-training it starts from, matches."""
    labels = stage_labels(grid, point)
    return [i for i, rule in enumerate(grid.file.defaults) if any(matches(rule.match, one) for one in labels)]


def stage_labels(grid: Grid, point: Point) -> list[dict[str, Any]]:
    """Return what rules match on, of the cell of a point and of each pre-training that it starts from."""
    labels: list[dict[str, Any]] = [{"kind": "finetune", "data": grid.file.target, **point.labels()}]
    for data in grid.scenarios[point.scenario].pretrain:
        labels.append({"kind": "pretrain", "data": data, **point.labels(), "fold": None})
    return labels
