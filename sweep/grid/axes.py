"""The product of a grid's axes: zipped axes, axes that change only some scenarios, and excluded cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, product
from typing import Any

from pydantic import ValidationError

from sweep.grid.learning_rates import Rate, rates_of
from sweep.grid.rules.matching import matches
from sweep.grid.rules.values import RuleValues
from sweep.grid.schema import ALL, GridFile, Scenario
from trainables.errors import UserError

NAMED = ("architecture", "scenario", "seed", "fold", "learning_rate")
"""Axes with a key of their own under ``axes``. Every other axis is a setting, named by its dotted path."""
RECIPE_SECTIONS = ("recipe", "pretrain", "finetune")
SECTIONS = (*RECIPE_SECTIONS, "data")
"""First part of the dotted name of a setting."""


@dataclass(frozen=True)
class Point:
    """One combination of the axes other than the learning rate.

    Attributes:
        architecture: its name in the grid.
        scenario: its name in the grid.
        label: the scenario with the settings that tell the point from others, as tables show it.
        seed: of the stages.
        fold: outer fold, from 0.
        settings: dotted name -> value of the axes that are settings and change the scenario.
        rate: the learning rate, if that axis is zipped with another; None: all rates of the grid.
    """

    architecture: str
    scenario: str
    label: str
    seed: int
    fold: int
    settings: Mapping[str, Any] = field(hash=False)
    rate: float | None = None

    def labels(self) -> dict[str, Any]:
        """Return what a rule can match on in the cells of this point, besides the learning rate."""
        named = {"architecture": self.architecture, "scenario": self.scenario, "seed": self.seed, "fold": self.fold}
        return {**named, **self.settings}


@dataclass(frozen=True)
class Combination:
    """All points of a grid, in the order of its axes.

    Attributes:
        file: the grid.
    """

    file: GridFile

    @cached_property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """Values of each axis. The last axis varies fastest. The learning rate is one of them only if it is zipped."""
        axes, file = self.file.axes, self.file
        named = {
            "architecture": axes.architecture,
            "scenario": tuple(file.scenarios) if axes.scenario == ALL else axes.scenario,
            **axes.settings,
            "seed": axes.seed,
            "fold": tuple(range(file.split.folds)) if axes.fold == ALL else axes.fold,
        }
        together = isinstance(axes.learning_rate, tuple) and any("learning_rate" in group for group in file.zip)
        return {**named, "learning_rate": axes.learning_rate} if together else named  # type: ignore[dict-item]

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The axes in their order; zipped axes form one group, at the place of the first."""
        zipped = {axis: group for group in self.file.zip for axis in group}
        return tuple(dict.fromkeys(zipped.get(axis, (axis,)) for axis in self.values))

    @cached_property
    def shown(self) -> dict[str, str]:
        """Settings that labels show -> the name they show. A setting zipped with a named axis is not shown."""
        named = {axis for group in self.file.zip if set(group) & set(NAMED) for axis in group}
        shown = [axis for axis in self.file.axes.settings if axis not in named]
        last = [axis.rpartition(".")[2] for axis in shown]
        return {axis: name if last.count(name) == 1 else axis for axis, name in zip(shown, last, strict=True)}

    def points(self) -> Iterator[Point]:
        """Yield every point once: values of an axis that does not change a scenario make one point of it."""
        steps = [[dict(zip(group, v, strict=True)) for v in self._together(group)] for group in self.groups]
        may_repeat = any(axis.partition(".")[0] not in ("recipe", "finetune") for axis in self.file.axes.settings)
        seen: set[str] = set()
        for chosen in product(*steps):
            at: dict[str, Any] = {axis: value for step in chosen for axis, value in step.items()}
            point = self._point(at)
            if may_repeat:
                identity = repr((point, sorted(point.settings.items())))
                if identity in seen:
                    continue
                seen.add(identity)
            yield point

    def _together(self, group: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        return zip(*(self.values[axis] for axis in group), strict=True)

    def _point(self, at: dict[str, Any]) -> Point:
        scenario = self.file.scenarios[at["scenario"]]
        settings = {axis: at[axis] for axis in self.file.axes.settings if changes(axis, scenario)}
        shown = ", ".join(f"{self.shown[axis]}={text(v)}" for axis, v in settings.items() if axis in self.shown)
        return Point(
            at["architecture"],
            at["scenario"],
            f"{at['scenario']} · {shown}" if shown else at["scenario"],
            at["seed"],
            at["fold"],
            settings,
            at.get("learning_rate"),
        )

    @cached_property
    def included(self) -> tuple[Point, ...]:
        """The points that have a cell: those that no ``exclude`` rule leaves out at every rate."""
        return tuple(point for point in self.points() if not self.excluding(point))

    @cached_property
    def by_rate(self) -> bool:
        """Whether an ``exclude`` rule matches on the learning rate. If not, all rates of a point are kept or left out."""
        return any("learning_rate" in rule for rule in self.file.exclude)

    @cached_property
    def rule_values(self) -> RuleValues:
        """What ``exclude`` rules match on: the axes with their values, the learning rates that cells may have too."""
        values = self.values
        if "learning_rate" not in values:
            rates = chain.from_iterable(self._rates(s, a) for s in values["scenario"] for a in values["architecture"])
            known = (rate if isinstance(rate, float) else None for rate in rates)
            values = {**values, "learning_rate": tuple(dict.fromkeys(known))}
        return RuleValues(values, self.file.data, self.file.rule_values == "as_written")

    def _rates(self, scenario: str, architecture: str) -> tuple[Rate, ...]:
        try:
            return rates_of(self.file.axes.learning_rate, scenario, architecture)
        except (UserError, ValidationError):  # another check says so, or the cells are excluded
            return ()

    @cached_property
    def exclude(self) -> tuple[dict[str, Any], ...]:
        """The ``exclude`` rules, their values resolved."""
        return tuple(self.rule_values.resolved(rule) for rule in self.file.exclude)

    def excluding(self, point: Point, rate: Rate | None = None) -> list[int]:
        """Return the indices of the ``exclude`` rules that leave out a cell.

        Args:
            point: of the cell.
            rate: of the cell; None: the rules that leave out every cell of the point.
        """
        rules = self.exclude
        if not rules:
            return []
        labels = point.labels() | ({} if rate is None else {"learning_rate": rate if isinstance(rate, float) else None})
        return [i for i, rule in enumerate(rules) if matches(rule, labels)]


def changes(axis: str, scenario: Scenario) -> bool:
    """Return whether a setting changes the cells of a scenario: one of pre-training needs a scenario that pre-trains.

    Args:
        axis: dotted name of the setting.
        scenario: the scenario.
    """
    section, _, rest = axis.partition(".")
    if section == "pretrain":
        return bool(scenario.pretrain)
    return section != "data" or rest.partition(".")[0] in scenario.pretrain


def text(value: Any) -> str:
    """Return the value of a setting as labels show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
