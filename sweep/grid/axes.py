"""The axes of a grid, combined: which go together, which matter to a scenario, and which cells are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from sweep.grid.learning_rates import Rate
from sweep.grid.rules import matches
from sweep.grid.schema import ALL, GridFile, Scenario

NAMED = ("architecture", "scenario", "seed", "fold", "learning_rate")
"""Axes that a cell is known by. Every other axis is a setting, by its dotted name."""
SECTIONS = ("recipe", "pretrain", "finetune", "data")
"""What the dotted name of a setting begins with."""


@dataclass(frozen=True)
class Point:
    """One combination of the axes, over all its learning rates.

    Attributes:
        scenario: its name under ``scenarios:``.
        label: the same with the settings that tell it from others: what tables show.
        settings: dotted name -> value, of the axes that matter to it.
        rate: the learning rate, where that axis goes together with another; None: all that the grid gives.
    """

    architecture: str
    scenario: str
    label: str
    seed: int
    fold: int
    settings: Mapping[str, Any] = field(hash=False)
    rate: float | None = None

    def labels(self) -> dict[str, Any]:
        """Return what a rule can match on, of the cells of this point."""
        named = {"architecture": self.architecture, "scenario": self.scenario, "seed": self.seed, "fold": self.fold}
        return {**named, **self.settings}


@dataclass(frozen=True)
class Combination:
    """All points of a grid, in the order of its axes."""

    file: GridFile

    @cached_property
    def values(self) -> dict[str, tuple[Any, ...]]:
        """The values of each axis that is a list, in the order in which axes are walked: the last the fastest."""
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
        """The axes, those that go together in one group, where the first of them stands."""
        zipped = {axis: group for group in self.file.zip for axis in group}
        return tuple(dict.fromkeys(zipped.get(axis, (axis,)) for axis in self.values))

    @cached_property
    def shown(self) -> dict[str, str]:
        """The settings that a label shows -> the name it shows: not those that go together with a named axis."""
        named = {axis for group in self.file.zip if set(group) & set(NAMED) for axis in group}
        shown = [axis for axis in self.file.axes.settings if axis not in named]
        last = [axis.rpartition(".")[2] for axis in shown]
        return {axis: name if last.count(name) == 1 else axis for axis, name in zip(shown, last, strict=True)}

    def points(self) -> Iterator[Point]:
        """Yield every point once: where an axis does not matter to a scenario, its values are one."""
        steps = [[dict(zip(group, v, strict=True)) for v in self._together(group)] for group in self.groups]
        irrelevant = any(not _matters_to_all(axis) for axis in self.file.axes.settings)
        seen: set[str] = set()
        for chosen in product(*steps):
            at: dict[str, Any] = {axis: value for step in chosen for axis, value in step.items()}
            point = self._point(at)
            if irrelevant:
                identity = repr((point, sorted(point.settings.items())))
                if identity in seen:
                    continue
                seen.add(identity)
            yield point

    def _together(self, group: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
        return zip(*(self.values[axis] for axis in group), strict=True)

    def _point(self, at: dict[str, Any]) -> Point:
        scenario = self.file.scenarios[at["scenario"]]
        settings = {axis: at[axis] for axis in self.file.axes.settings if matters(axis, scenario)}
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
    def wanted(self) -> tuple[Point, ...]:
        """The points that no ``exclude`` rule leaves out at every rate."""
        return tuple(point for point in self.points() if not self.excluding(point))

    @cached_property
    def by_rate(self) -> bool:
        """Whether an ``exclude`` rule matches on the learning rate; else all rates of a point go the same way."""
        return any("learning_rate" in rule for rule in self.file.exclude)

    def excluding(self, point: Point, rate: Rate | None = None) -> list[int]:
        """Return the numbers of the ``exclude`` rules that leave out a cell; without a rate, all cells of the point."""
        rules = self.file.exclude
        if not rules:
            return []
        labels = point.labels() | ({} if rate is None else {"learning_rate": rate if isinstance(rate, float) else None})
        return [i for i, rule in enumerate(rules) if matches(rule, labels)]


def matters(axis: str, scenario: Scenario) -> bool:
    """Say whether a setting matters to a scenario: one of pre-training does not where there is none."""
    section, _, rest = axis.partition(".")
    if section == "pretrain":
        return bool(scenario.pretrain)
    return section != "data" or rest.partition(".")[0] in scenario.pretrain


def _matters_to_all(axis: str) -> bool:
    return axis.partition(".")[0] in ("recipe", "finetune")


def text(value: Any) -> str:
    """Return a value as a label shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)
