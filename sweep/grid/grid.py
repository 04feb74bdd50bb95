"""The grid: what a study varies, and what every stage of it is to be done with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from pydantic import TypeAdapter

from sweep.grid import rehearsal
from sweep.grid.axes import Combination, Point
from sweep.grid.learning_rates import Rate, parse_rates, rates_of
from sweep.grid.precision import Precision, of_this_machine, resolve
from sweep.grid.rules import matches
from sweep.grid.schema import ALL, GridFile, Rule, Scenario, WeightsSource
from sweep.grid.yaml_document import Document
from trainables.data.readers.data_spec import DataSpec
from trainables.models.complexity import full_name, known
from trainables.specs import ModelSpec, Recipe

MATCHABLE = ("kind", "architecture", "scenario", "data", "fold", "seed")
"""What a default rule matches on, beside the axes that are settings."""


@dataclass(frozen=True)
class Grid:
    """A checked grid: every name in it is known, every recipe is complete."""

    file: GridFile
    document: Document
    kept_precision: Precision | None = None
    """What ``auto`` means in the study that this is the grid of; None: what this machine says."""
    rehearsal: bool = False
    """Whether all is done with a handful of images and steps."""

    @cached_property
    def combination(self) -> Combination:
        """The axes, combined."""
        return Combination(self.file)

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
        return tuple(self.data_specs)

    @cached_property
    def data_specs(self) -> dict[str, DataSpec]:
        """The same with what each is. An axis that changes a data set makes several of it."""
        specs = {self.file.target: self.file.data[self.file.target]}
        for point in self._examples:
            for name in self.scenarios[point.scenario].pretrain:
                settings = _settings_of(name, point.settings)
                specs[_variant(name, settings)] = _changed(self.file.data[name], settings)
        if not self.rehearsal:
            return specs
        folds, target = self.file.split.folds, self.file.target
        return {
            name: _changed(spec, tuple(rehearsal.images(folds, name == target).items())) for name, spec in specs.items()
        }

    @cached_property
    def _examples(self) -> tuple[Point, ...]:
        """A wanted point of each architecture, scenario and choice of settings."""
        return tuple({(p.architecture, p.scenario, repr(p.settings)): p for p in self.combination.wanted}.values())

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each (architecture, scenario) that has a cell."""
        return tuple(dict.fromkeys((point.architecture, point.scenario) for point in self._examples))

    @property
    def weights(self) -> tuple[tuple[str, str], ...]:
        """The (set of initial weights, architecture) that the cells start from."""
        wanted = ((self.scenarios[scenario].start, architecture) for architecture, scenario in self.pairs)
        return tuple(dict.fromkeys(pair for pair in wanted if pair[0] != "random"))

    def data_name(self, name: str, settings: Mapping[str, Any]) -> str:
        """Return the name of a data set as the axes change it, a key of ``data_sets``."""
        return _variant(name, _settings_of(name, settings))

    @property
    def starts(self) -> tuple[str, ...]:
        """The sets of initial weights the scenarios start from."""
        return tuple(dict.fromkeys(start for start, _ in self.weights))

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """The model of each architecture of the axis."""
        return {name: model_of(self.file, name) for name in self.file.axes.architecture}

    def weights_source(self, start: str, architecture: str) -> WeightsSource:
        """Return where an architecture's weights of a set come from."""
        return self.file.weights[start][architecture]

    def cell_rates(self, scenario: str, architecture: str) -> tuple[Rate, ...]:
        """Return the fine-tuning start rates of an architecture in a scenario, ascending."""
        return rates_of(self.file.axes.learning_rate, scenario, architecture)

    def pretrain_rate(self, scenario: str, architecture: str) -> Rate:
        """Return the pre-training start rate of an architecture in a scenario."""
        return rates_of(parse_rates(self.file.pretrain["learning_rate"]), scenario, architecture)[0]

    def recipe(self, labels: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Recipe:
        """Return the recipe of a stage, given its labels (see ``MATCHABLE``) and the axes that are settings."""
        matching = tuple(i for i, rule in enumerate(self.rules) if matches(rule.match, labels))
        known = (labels["kind"] == "pretrain", matching, repr(settings or {}))
        if known not in self._recipes:
            self._recipes[known] = self._merged(known[0], matching, settings or {})
        return self._recipes[known]

    @cached_property
    def _recipes(self) -> dict[tuple[bool, tuple[int, ...], str], Recipe]:
        return {}

    def _merged(self, pretrain: bool, matching: tuple[int, ...], settings: Mapping[str, Any]) -> Recipe:
        own = "pretrain" if pretrain else "finetune"
        merged: dict[str, Any] = {}
        for change in (self.file.recipe, getattr(self.file, own), *(self.rules[i].set for i in matching)):
            merged = _merge(merged, change)
        for axis in sorted(settings, key=lambda axis: not axis.startswith("recipe.")):  # that of its kind goes over it
            section, *path = axis.split(".")
            if section in ("recipe", own):
                merged = _merge(merged, nested(path, settings[axis]))
        merged.pop("learning_rate", None)
        if self.rehearsal:
            merged = rehearsal.recipe(merged)
        return Recipe.model_validate(resolve(merged, lambda: self.auto_precision))

    @property
    def auto_precision(self) -> Precision:
        """What ``precision: auto`` means in this study."""
        return self.kept_precision or of_this_machine()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The default rules, the most specific last; among equals the later wins."""
        return tuple(sorted(self.file.defaults, key=lambda rule: len(rule.match)))

    def resolved(self) -> str:
        """Return the grid as YAML with every default written out: the study's ``grid.yaml``."""
        content = self.file.model_dump(mode="json")
        content["recipe"] = resolve(content["recipe"], lambda: self.auto_precision)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


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


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def nested(path: list[str], value: Any) -> dict[str, Any]:
    """Return ``{"a": {"b": value}}`` for the path a, b."""
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _settings_of(name: str, settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    begin = f"data.{name}."
    return tuple((axis.removeprefix(begin), v) for axis, v in settings.items() if axis.startswith(begin))


def _variant(name: str, settings: tuple[tuple[str, Any], ...]) -> str:
    return f"{name}[{', '.join(f'{field}={value}' for field, value in settings)}]" if settings else name


def _changed(spec: DataSpec, settings: tuple[tuple[str, Any], ...]) -> DataSpec:
    content = spec.model_dump() | dict(settings)
    return TypeAdapter[DataSpec](DataSpec).validate_python(content) if settings else spec
