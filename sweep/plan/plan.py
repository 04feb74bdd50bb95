"""The plan of a study: the stages of its grid as a directed acyclic graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.grid.grid import Grid
from sweep.grid.rule_coverage import RuleCoverage, rule_coverage
from sweep.plan.inputs import Inputs
from sweep.plan.planner import Excluded, Planner
from trainables.errors import UserError
from trainables.specs import Stage


@dataclass(frozen=True)
class Plan:
    """All stages of a grid.

    Attributes:
        grid: that they were made from.
        stages: each once, upstream before downstream.
        excluded: cells that the grid's ``exclude`` rules leave out.
    """

    grid: Grid
    stages: tuple[Stage, ...]
    excluded: tuple[Excluded, ...] = ()

    @cached_property
    def cells(self) -> list[Stage]:
        """The fine-tuning stages."""
        return [stage for stage in self.stages if stage.kind == "finetune"]

    @cached_property
    def unshared(self) -> int:
        """Number of stages if each cell trained its own upstream stages."""
        by_id = {stage.identifier: stage for stage in self.stages}
        needed: dict[tuple[str, ...], frozenset[str]] = {(): frozenset()}

        def above(upstream: tuple[str, ...]) -> frozenset[str]:
            if upstream not in needed:
                needed[upstream] = frozenset(upstream).union(*(above(by_id[up].upstream) for up in upstream))
            return needed[upstream]

        return sum(1 + len(above(cell.upstream)) for cell in self.cells)

    @cached_property
    def rule_coverage(self) -> list[RuleCoverage]:
        """Each rule of the grid (zip, exclude, defaults) with the number of cells it applies to."""
        return rule_coverage(self.grid)

    def document(self, study: str, inputs: Inputs) -> dict[str, Any]:
        """Return the content of ``plan.json``.

        Args:
            study: its name.
            inputs: data sets and splits that are at hand.
        """
        file = self.grid.file
        target = inputs.data.get(file.target)
        split = inputs.splits.get(file.target)
        return {
            "grid": self.grid.document.name,
            "study": study,
            "edition": file.edition,
            "target": file.target,
            "classes": list(target.classes) if target else [],
            "split": split.digest if split else None,
            "data": inputs.contents(),
            "splits": {
                name: {**split.document(), "fingerprint": inputs.fingerprint(name)}
                for name, split in inputs.splits.items()
            },
            "axes": self.axes(),
            "rules": [
                {"rule": rule.text, "cells": rule.cells, "where": self.grid.document.where(rule.place)}
                for rule in self.rule_coverage
            ],
            "excluded": [cell.document() for cell in self.excluded],
            "stages": [summary(stage) for stage in self.stages],
        }

    def axes(self) -> dict[str, list[Any]]:
        """Return axis -> its values in the cells; a rate that a range test finds is shown by its factor."""
        return {axis: list(counts) for axis, counts in self.cells_of_axes().items()}

    def cells_of_axes(self) -> dict[str, dict[Any, int]]:
        """Return axis -> value, as in ``axes`` -> number of cells."""
        cells = self.cells
        named = ("architecture", "scenario", "fold", "seed")
        axes = {axis: dict(Counter(getattr(cell, axis) for cell in cells)) for axis in named}
        return {**axes, "learning_rate": dict(Counter(map(_rate, cells)))}

    def counts(self) -> dict[str, int]:
        """Return kind -> number of stages."""
        return dict(Counter(stage.kind for stage in self.stages))


def _rate(cell: Stage) -> float | str | None:
    return f"found × {cell.found_rate.times:g}" if cell.found_rate else cell.learning_rate


def summary(stage: Stage) -> dict[str, Any]:
    """Return the row of a stage in ``plan.json`` and ``--plan --json``."""
    fields = ("kind", "name", "key", "architecture", "scenario", "fold", "learning_rate", "seed")
    return {**{field: getattr(stage, field) for field in fields}, "upstream": list(stage.upstream)}


def make_plan(grid: Grid, inputs: Inputs) -> Plan:
    """Resolve a grid into stages.

    Args:
        grid: what is to be done.
        inputs: data sets, splits and weights that are at hand.

    Returns:
        The plan; keys are None of stages that need an input that is not at hand.

    Raises:
        UserError: if two stages would be the same work under two names.
    """
    planner = Planner(grid, inputs)
    stages = tuple(planner.stages())
    plan = Plan(grid, stages, tuple(planner.excluded))
    first: dict[str, Stage] = {}
    twins = [(twin, s) for s in plan.stages if (twin := first.setdefault(s.identifier, s)) is not s]
    if twins:
        raise UserError(f"{a.kind} {a.name} and {b.name} are the same work under two names" for a, b in twins)
    return plan
