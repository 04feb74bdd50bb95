"""The checks of a grid that fits its schema. Each is a function in a list that yields the faults it finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from sweep.grid.axes import NAMED, RECIPE_SECTIONS
from sweep.grid.entry_checks import check_entry_options
from sweep.grid.faults import Fault
from sweep.grid.grid import Grid, model_of
from sweep.grid.rate_checks import check_pretraining_rates, check_rates, check_weights
from sweep.grid.rule_coverage import check_rule_coverage, check_rule_names
from sweep.grid.schema import ALL, Scenario
from sweep.grid.setting_checks import check_recipes, check_setting_values, check_settings, repeated
from trainables.errors import UserError, suggestion
from trainables.hashing import canonical

MOST_CELLS = 1_000_000
"""Cells that a grid may have."""


def validate(grid: Grid) -> Iterator[Fault]:
    """Yield every fault of a grid that fits its schema."""
    faults = [fault for check in NAME_CHECKS for fault in check(grid)]
    yield from faults
    # The other checks resolve names. Faults of recipes do not stand in the way of checking options of their entries.
    if all(path[0] in (*RECIPE_SECTIONS, "defaults") for path, _ in faults):
        for check in RESOLVING_CHECKS if not faults else [check_entry_options]:
            yield from check(grid)


def _check_target(grid: Grid) -> Iterator[Fault]:
    target, data = grid.file.target, grid.file.data
    if target not in data:
        yield ("target",), f"no data set {target} under data{suggestion(target, data)}"


def _check_scenarios(grid: Grid) -> Iterator[Fault]:
    file = grid.file
    starts = ("random", *file.weights)
    if not file.scenarios:
        yield ("scenarios",), "no scenario: give at least one, e.g. `Random: {}`"
    for name, scenario in file.scenarios.items():
        start, at = scenario.start, ("scenarios", name, "pretrain")
        if start not in starts:
            hint = f"{suggestion(start, starts)}; known: {', '.join(starts)}"
            yield ("scenarios", name, "start"), f"no weights {start} under weights{hint}"
        for data in scenario.pretrain:
            if data not in file.data:
                yield at, f"no data set {data} under data{suggestion(data, file.data)}"
            elif data == file.target:
                yield at, f"{data} is the target: pre-training on it would train on test images"


def _check_axis_values(grid: Grid) -> Iterator[Fault]:
    for axis in NAMED:
        values = getattr(grid.file.axes, axis)
        if values == ():
            yield ("axes", axis), f"the axis {axis} is empty: give it at least one value"
        for i, value in repeated(values) if isinstance(values, tuple) else ():
            yield ("axes", axis, i), f"{value} is given twice in the axis {axis}"


def _check_number_of_cells(grid: Grid) -> Iterator[Fault]:
    """Refuse a grid that nobody could run, before its cells are counted one by one."""
    values, rates = grid.combination.values, grid.file.axes.learning_rate
    lengths = [len(values[group[0]]) for group in grid.combination.groups if group[0] in values]
    if isinstance(rates, tuple) and "learning_rate" not in values:
        lengths.append(len(rates))
    cells = math.prod(lengths)
    if cells > MOST_CELLS:
        yield ("axes",), f"the axes make {cells:,} cells before any rule; at most {MOST_CELLS:,} are possible"


def _check_architectures(grid: Grid) -> Iterator[Fault]:
    for i, name in enumerate(grid.file.axes.architecture):
        try:
            canonical(model_of(grid.file, name).options)
        except UserError as error:
            yield ("axes", "architecture", i), error.faults[0]
        except TypeError as error:
            yield ("architectures", name, "options"), str(error).replace("value", "options", 1)


def _check_named_values(grid: Grid) -> Iterator[Fault]:
    axes, scenarios, folds = grid.file.axes, grid.file.scenarios, grid.file.split.folds
    for i, name in enumerate(axes.scenario if axes.scenario != ALL else ()):
        if name not in scenarios:
            yield ("axes", "scenario", i), f"unknown scenario {name}{suggestion(name, scenarios)}"
    for i, fold in enumerate(axes.fold if axes.fold != ALL else ()):
        if not 0 <= int(fold) < folds:
            yield ("axes", "fold", i), f"no fold {fold}: split.folds is {folds}, folds count from 0"
    for i, seed in enumerate(axes.seed):
        if seed < 0:
            yield ("axes", "seed", i), f"a seed is a whole number from 0 on, found {seed}"


def _check_distinct_scenarios(grid: Grid) -> Iterator[Fault]:
    first: dict[Scenario, str] = {}
    for name, scenario in grid.scenarios.items():
        if (same := first.setdefault(scenario, name)) != name:
            yield ("scenarios", name), f"{name} is the same as {same}: its cells would be the same work under two names"


Check = Callable[[Grid], Iterable[Fault]]

NAME_CHECKS: tuple[Check, ...] = (
    _check_target,
    _check_scenarios,
    _check_axis_values,
    _check_number_of_cells,
    _check_architectures,
    _check_named_values,
    check_settings,
    check_recipes,
    check_setting_values,
)
"""Checks that need no more than the schema."""
RESOLVING_CHECKS: tuple[Check, ...] = (
    check_weights,
    check_rates,
    check_pretraining_rates,
    check_rule_names,
    check_rule_coverage,
    _check_distinct_scenarios,
    check_entry_options,
)
"""Checks that resolve names: of weights, rates and rules. They need a grid in which the others found no fault."""
