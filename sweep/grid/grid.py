"""A checked grid: what a study varies, and the data, model, weights, rates and recipe of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from sweep.grid import rehearsal
from sweep.grid.auto.precision import KeptPrecision
from sweep.grid.auto.settings import auto_precision, is_auto, keep_precision, published_normalisation
from sweep.grid.axes import Combination, Point
from sweep.grid.learning_rates import Rate, parse_rates, rates_of
from sweep.grid.rules.matching import matches
from sweep.grid.rules.nesting import changed_data, nested
from sweep.grid.rules.values import RuleValues
from sweep.grid.schema import ALL, GridFile, Rule, Scenario, WeightsSource
from sweep.grid.yaml_document import Document
from trainables.data.readers.data_spec import DataSpec
from trainables.models.complexity import full_name, known
from trainables.specs import ModelSpec, Recipe

MATCHABLE = ("kind", "architecture", "scenario", "data", "fold", "seed")
"""What a default rule matches on, besides the axes that are settings."""


@dataclass(frozen=True)
class Grid:
    """A checked grid: every name in it is known, every recipe is complete.

    Attributes:
        file: its content.
        document: its content with lines, for messages.
        kept_precision: what ``precision: auto`` means in the study; None: it is new.
        rehearsal: whether every stage takes a handful of images and steps.
    """

    file: GridFile
    document: Document
    kept_precision: KeptPrecision | None = None
    rehearsal: bool = False

    @cached_property
    def combination(self) -> Combination:
        """The product of the axes."""
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
        """Names of the data sets that the stages use, the target first."""
        return tuple(self.data_specs)

    @cached_property
    def data_specs(self) -> dict[str, DataSpec]:
        """The same -> their specifications. An axis that changes a data set makes several of it."""
        specs = {self.file.target: self.file.data[self.file.target]}
        for point in self._examples:
            for name in self.scenarios[point.scenario].pretrain:
                changes = _changes_of(name, point.settings)
                specs[_variant(name, changes)] = changed_data(self.file.data[name], changes)
        if not self.rehearsal:
            return specs
        folds, target = self.file.split.folds, self.file.target
        return {name: changed_data(spec, rehearsal.images(folds, name == target)) for name, spec in specs.items()}

    @cached_property
    def _examples(self) -> tuple[Point, ...]:
        """One point of each architecture, scenario and combination of settings that has a cell."""
        return tuple({(p.architecture, p.scenario, repr(p.settings)): p for p in self.combination.included}.values())

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each (architecture, scenario) that has a cell."""
        return tuple(dict.fromkeys((point.architecture, point.scenario) for point in self._examples))

    @property
    def weights(self) -> tuple[tuple[str, str], ...]:
        """The pairs (set of initial weights, architecture) that the cells start from."""
        wanted = ((self.scenarios[scenario].start, architecture) for architecture, scenario in self.pairs)
        return tuple(dict.fromkeys(pair for pair in wanted if pair[0] != "random"))

    def data_name(self, name: str, settings: Mapping[str, Any]) -> str:
        """Return the name of a data set as the axes change it, one of ``data_sets``.

        Args:
            name: in the grid file.
            settings: dotted name -> value of the axes that are settings.
        """
        return _variant(name, _changes_of(name, settings))

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """The model of each architecture of the axis."""
        return {name: model_of(self.file, name) for name in self.file.axes.architecture}

    def weights_source(self, start: str, architecture: str) -> WeightsSource:
        """Return where initial weights come from.

        Args:
            start: name of the set of weights.
            architecture: its name in the grid.
        """
        return self.file.weights[start][architecture]

    def cell_rates(self, scenario: str, architecture: str) -> tuple[Rate, ...]:
        """Return the start rates of fine-tuning, ascending.

        Args:
            scenario: its name in the grid.
            architecture: its name in the grid.
        """
        return rates_of(self.file.axes.learning_rate, scenario, architecture)

    def pretrain_rate(self, scenario: str, architecture: str) -> Rate:
        """Return the start rate of pre-training.

        Args:
            scenario: its name in the grid.
            architecture: its name in the grid.
        """
        return rates_of(parse_rates(self.file.pretrain["learning_rate"]), scenario, architecture)[0]

    def recipe(self, labels: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Recipe:
        """Return the recipe of a stage.

        Args:
            labels: of the stage, which default rules match on (see ``MATCHABLE``).
            settings: dotted name -> value of the axes that are settings.
        """
        matching = tuple(i for i, rule in enumerate(self.rules) if matches(rule.match, labels))
        architecture, start = labels.get("architecture"), self._start(labels)
        known = (labels["kind"] == "pretrain", matching, repr(settings or {}), architecture, start)
        if known not in self._recipes:
            merged = self._merged(known[0], matching, settings or {})
            self._recipes[known] = Recipe.model_validate(self._resolved(merged, architecture, start))
        return self._recipes[known]

    @cached_property
    def _recipes(self) -> dict[tuple[object, ...], Recipe]:
        return {}

    def image_size(self, architecture: str) -> int:
        """Return the edge of the images that an architecture is fine-tuned on, pixels; the first, if an axis varies it."""
        labels = {"kind": "finetune", "architecture": architecture}
        settings = {axis: values[0] for axis, values in self.file.axes.settings.items()}
        matching = tuple(i for i, rule in enumerate(self.rules) if matches(rule.match, labels))
        return Recipe.model_validate(self._resolved(self._merged(False, matching, settings), None, "random")).image_size

    def _start(self, labels: Mapping[str, Any]) -> str:
        scenario = self.file.scenarios.get(labels.get("scenario", ""))
        return "random" if scenario is None else scenario.start

    def _merged(self, pretrain: bool, matching: tuple[int, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
        own = "pretrain" if pretrain else "finetune"
        merged: dict[str, Any] = {}
        for change in (self.file.recipe, getattr(self.file, own), *(self.rules[i].set for i in matching)):
            merged = _merge(merged, change)
        general_first = sorted(
            settings, key=lambda axis: not axis.startswith("recipe.")
        )  # finetune.x overrides recipe.x
        for axis in general_first:
            section, *path = axis.split(".")
            if section in ("recipe", own):
                merged = _merge(merged, nested(path, settings[axis]))
        merged.pop("learning_rate", None)
        return rehearsal.recipe(merged) if self.rehearsal else merged

    def _resolved(self, settings: dict[str, Any], architecture: str | None, start: str) -> dict[str, Any]:
        """Return the settings of a recipe with each ``auto`` replaced. Without an architecture it is not asked for."""
        if architecture not in self.models:
            return {name: value for name, value in settings.items() if not is_auto(settings, name)}
        model, changed = self.models[architecture], dict(settings)
        if is_auto(settings, "precision"):
            changed["precision"] = auto_precision(architecture, model, self.file.edition, self.kept_precision)
        source = self.file.weights.get(start, {}).get(architecture)
        if source is not None and source.normalisation is not None:
            changed["normalisation"] = source.normalisation
        elif is_auto(settings, "normalisation", None):
            changed["normalisation"] = published_normalisation(model, None if source is None else source.version)
        return changed

    @property
    def precision_to_keep(self) -> KeptPrecision:
        """What the study keeps of ``precision: auto``."""
        return keep_precision(self.models, self.file.edition, self.kept_precision)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The default rules, their values resolved: the most specific last, equals as they are written."""
        resolved = (
            Rule(match=match, set=rule.set) for match, rule in zip(self.matches, self.file.defaults, strict=True)
        )
        return tuple(sorted(resolved, key=lambda rule: len(rule.match)))

    @cached_property
    def matches(self) -> tuple[dict[str, Any], ...]:
        """What each default rule matches on, its values resolved; in the order of the grid."""
        return tuple(self.rule_values.resolved(rule.match) for rule in self.file.defaults)

    @cached_property
    def rule_values(self) -> RuleValues:
        """What default rules match on, with the values that stages have."""
        values, file = self.combination.values, self.file
        as_written = file.rule_values == "as_written"
        before = tuple(dict.fromkeys(data for scenario in self.scenarios.values() for data in scenario.pretrain))
        labels = {name: values[name] for name in values if name != "learning_rate"}
        if not before:
            return RuleValues({**labels, "kind": ("finetune",), "data": (file.target,)}, file.data, as_written)
        labels |= {"kind": ("pretrain", "finetune"), "data": (file.target, *before), "fold": (*values["fold"], None)}
        return RuleValues(labels, file.data, as_written)

    def resolved(self) -> str:
        """Return the grid as YAML with every default written out, as ``grid.yaml`` of the study."""
        content = self.file.model_dump(mode="json")
        kept = self.precision_to_keep
        meant = {kept.single or kept.of[name] for name in self.models}
        if is_auto(content["recipe"], "precision") and len(meant) == 1:  # else study.json says it
            content["recipe"]["precision"] = meant.pop()
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def model_of(file: GridFile, name: str) -> ModelSpec:
    """Return the model of an architecture.

    Args:
        file: the grid.
        name: one under ``architectures``, or of torchvision or timm.

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
    """Return the first mapping with the second laid over it, at every level."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _changes_of(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a data set that the axes change -> their values."""
    begin = f"data.{name}."
    return {axis.removeprefix(begin): value for axis, value in settings.items() if axis.startswith(begin)}


def _variant(name: str, changes: Mapping[str, Any]) -> str:
    """Return the name of a data set with some fields changed."""
    return f"{name}[{', '.join(f'{field}={value}' for field, value in changes.items())}]" if changes else name
