"""The grid: what a study varies, and what every stage of it is to be done with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from sweep.documents import Document
from sweep.schema import ALL, GridFile, Rates, RateTable, Rule, Scenario, WeightsSource
from trainables.complexity import full_name, known
from trainables.errors import UserError
from trainables.identity import tidy_rate
from trainables.specs import Frozen, ModelSpec, Recipe

MATCHABLE = ("kind", "architecture", "scenario", "data", "fold", "seed")


@dataclass(frozen=True)
class Grid:
    """A checked grid: every name in it is known, every recipe is complete."""

    file: GridFile
    document: Document

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """The scenarios of the axis, in its order."""
        chosen = self.file.axes.scenario
        return dict(self.file.scenarios) if chosen == ALL else {name: self.file.scenarios[name] for name in chosen}

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds of the axis."""
        chosen = self.file.axes.fold
        return tuple(range(self.file.split.folds)) if chosen == ALL else tuple(int(fold) for fold in chosen)

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets the stages use: the target first."""
        used = [self.file.target, *(name for scenario in self.scenarios.values() for name in scenario.pretrain)]
        return tuple(dict.fromkeys(used))

    @property
    def starts(self) -> tuple[str, ...]:
        """The sets of initial weights the scenarios start from."""
        return tuple(dict.fromkeys(s.start for s in self.scenarios.values() if s.start != "random"))

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """The model of each architecture of the axis."""
        return {name: model_of(self.file, name) for name in self.file.axes.architecture}

    def weights_source(self, start: str, architecture: str) -> WeightsSource:
        """Return where an architecture's weights of a set come from."""
        return self.file.weights[start][architecture]

    def cell_rates(self, scenario: str, architecture: str) -> tuple[float, ...]:
        """Return the fine-tuning start rates of an architecture in a scenario, ascending."""
        return rates_of(self.file.axes.learning_rate, scenario, architecture)

    def pretrain_rate(self, scenario: str, architecture: str) -> float:
        """Return the pre-training start rate of an architecture in a scenario."""
        return rates_of(parse_rates(self.file.pretrain["learning_rate"]), scenario, architecture)[0]

    def recipe(self, labels: dict[str, Any]) -> Recipe:
        """Return the recipe of a stage, given its labels (see ``MATCHABLE``)."""
        changes = [self.file.recipe, self.file.pretrain if labels["kind"] == "pretrain" else self.file.finetune]
        changes += [rule.set for rule in self.rules if matches(rule, labels)]
        merged: dict[str, Any] = {}
        for change in changes:
            merged = _merge(merged, change)
        merged.pop("learning_rate", None)
        return Recipe.model_validate(merged)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The default rules, the most specific last; among equals the later wins."""
        return tuple(sorted(self.file.defaults, key=lambda rule: len(rule.match)))

    def resolved(self) -> str:
        """Return the grid as YAML with every default written out: the study's ``grid.yaml``."""
        return yaml.safe_dump(self.file.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def model_of(file: GridFile, name: str) -> ModelSpec:
    """Return the model of an architecture: one named in the grid, or a library's.

    Raises:
        UserError: if the name is unknown.
    """
    if name in file.architectures:
        own = file.architectures[name]
        return ModelSpec(model=full_name(own.model), options=own.options)
    return ModelSpec(model=full_name(name))


def published(model: ModelSpec) -> dict[str, str]:
    """Return the published ImageNet weights of a model: version -> URL."""
    row = known().get(model.model)
    return row.weights if row is not None else {}


def stage_labels(grid: Grid) -> Iterable[dict[str, Any]]:
    """Yield what a rule can match on, of every stage of the grid."""
    for architecture in grid.models:
        for scenario, spec in grid.scenarios.items():
            for seed in grid.file.axes.seed:
                common = {"architecture": architecture, "scenario": scenario, "seed": seed}
                for data in spec.pretrain:
                    yield {"kind": "pretrain", "data": data, "fold": None, **common}
                for fold in grid.folds:
                    yield {"kind": "finetune", "data": grid.file.target, "fold": fold, **common}


def matches(rule: Rule, labels: dict[str, Any]) -> bool:
    """Say whether a rule is for the stage of these labels."""
    return all(
        labels[name] in (wanted if isinstance(wanted, list) else [wanted]) for name, wanted in rule.match.items()
    )


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


class _RatesHolder(Frozen):
    rates: Rates


def parse_rates(value: Any) -> Rates:
    """Read a number, a list of numbers or a table. Raises pydantic's ValidationError."""
    return _RatesHolder(rates=value).rates


def rates_of(rates: Rates, scenario: str, architecture: str) -> tuple[float, ...]:
    """Return the rates for an architecture in a scenario, ascending.

    Raises:
        UserError: if a table has none for them, or a rate is not positive.
    """
    if isinstance(rates, RateTable):
        row = rates.table.get(scenario, {})
        if architecture not in row:
            raise UserError(
                f"the table of learning rates has none for scenario {scenario}, architecture {architecture}"
            )
        values: Iterable[float] = (row[architecture] * factor for factor in rates.times)
    else:
        values = rates if isinstance(rates, tuple) else (rates,)
    return tuple(sorted({tidy_rate(value) for value in values}))
