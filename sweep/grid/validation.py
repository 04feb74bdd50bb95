"""What can be wrong with a grid beyond its schema: names, axes, recipes, weights, rates, rules. All at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from sweep.grid.entry_validation import entry_option_faults
from sweep.grid.grid import Grid, model_of, nested, published
from sweep.grid.learning_rates import parse_rates, rates_of
from sweep.grid.precision import AUTO
from sweep.grid.rule_validation import axis_setting_faults, rule_faults
from sweep.grid.schema import ALL, GridFile, RangeRates, RangeTest, Rates, RateTable, Scenario
from sweep.grid.yaml_document import Document
from sweep.grid.yaml_document import Path as Place
from trainables.entry_spec import SECTION
from trainables.errors import UserError, suggestion
from trainables.hashing import canonical
from trainables.specs import Augmentation, Recipe

Fault = tuple[Place, str]


def faults_of(grid: Grid) -> list[Fault]:
    """Return every fault of a grid that fits its schema: where in the document, and what."""
    file = grid.file
    faults = [*_name_faults(file), *_axis_faults(file), *axis_setting_faults(file), *recipe_faults(grid.document)]
    for axis, values in file.axes.settings.items():
        for i, value in enumerate(values):
            faults += _setting_faults(("axes", axis, i), axis, value)
    if not faults:  # these ask for values that only a grid without the faults above has
        faults = [*_weights_faults(grid), *_rate_faults(grid), *rule_faults(grid), *_twin_faults(grid)]
        faults += entry_option_faults(grid)
    return faults


def _name_faults(file: GridFile) -> list[Fault]:
    faults: list[Fault] = []
    if file.target not in file.data:
        faults.append((("target",), f"no data set {file.target} under data{suggestion(file.target, file.data)}"))
    for name, scenario in file.scenarios.items():
        place: Place = ("scenarios", name)
        known = ("random", *file.weights)
        if scenario.start not in known:
            faults.append(
                (
                    (*place, "start"),
                    f"no weights {scenario.start} under weights{suggestion(scenario.start, known)}; known: {', '.join(known)}",
                )
            )
        for data in scenario.pretrain:
            if data not in file.data:
                faults.append(((*place, "pretrain"), f"no data set {data} under data{suggestion(data, file.data)}"))
            elif data == file.target:
                faults.append(
                    ((*place, "pretrain"), f"{data} is the target: pre-training on it would train on test images")
                )
    return faults


def _axis_faults(file: GridFile) -> list[Fault]:
    axes, faults = file.axes, list[Fault]()
    for axis in ("architecture", "scenario", "fold", "seed", "learning_rate"):
        values = getattr(axes, axis)
        if isinstance(values, tuple):
            if not values:
                faults.append((("axes", axis), f"the axis {axis} is empty: give it at least one value"))
            first = {value: i for i, value in reversed(list(enumerate(values)))}
            faults += [
                (("axes", axis, i), f"{value} stands twice in the axis {axis}")
                for i, value in enumerate(values)
                if first.get(value, i) != i
            ]
    for i, name in enumerate(axes.architecture):
        try:
            canonical(model_of(file, name).options)
        except UserError as error:
            faults.append((("axes", "architecture", i), error.faults[0]))
        except TypeError as error:
            faults.append((("architectures", name, "options"), str(error).replace("value", "options", 1)))
    if axes.scenario != ALL:
        faults += [
            (("axes", "scenario", i), f"unknown scenario {name}{suggestion(name, file.scenarios)}")
            for i, name in enumerate(axes.scenario)
            if name not in file.scenarios
        ]
    if axes.fold != ALL:
        faults += [
            (("axes", "fold", i), f"no fold {fold}: split.folds is {file.split.folds}, folds count from 0")
            for i, fold in enumerate(axes.fold)
            if not 0 <= int(fold) < file.split.folds
        ]
    faults += [
        (("axes", "seed", i), f"a seed is a whole number from 0 on, found {s}")
        for i, s in enumerate(axes.seed)
        if s < 0
    ]
    if not file.scenarios:
        faults.append((("scenarios",), "no scenario: give at least one, e.g. `Random: {}`"))
    return faults


def recipe_faults(document: Document) -> list[Fault]:
    """Return what is wrong with the recipe sections of a grid, whatever else is wrong with it."""
    value = document.value
    sections: list[tuple[Place, Any]] = [((name,), value.get(name)) for name in ("recipe", "pretrain", "finetune")]
    rules = value.get("defaults")
    for i, rule in enumerate(rules if isinstance(rules, list) else []):
        sections.append((("defaults", i, "set"), rule.get("set") if isinstance(rule, dict) else None))
    faults: list[Fault] = []
    for place, section in sections:
        if isinstance(section, dict):
            fields = {k: v for k, v in section.items() if (place, k) != (("pretrain",), "learning_rate")}
            faults += _section_faults(place, fields)
    return faults


def _setting_faults(place: Place, axis: str, value: Any) -> list[Fault]:
    section, *path = axis.split(".")
    if section not in ("recipe", "pretrain", "finetune") or not path:
        return []
    faults = _section_faults((), nested(path, value))
    return [(place, text.replace(".".join(path), axis, 1)) for _, text in faults]


def _section_faults(place: Place, fields: dict[str, Any]) -> list[Fault]:
    try:
        Recipe.model_validate({k: v for k, v in fields.items() if (k, v) != ("precision", AUTO)}, context=SECTION)
    except ValidationError as error:
        faults: list[Fault] = []
        for fault in error.errors():
            inner = (*place, *fault["loc"])
            name = ".".join(str(part) for part in inner)
            if fault["type"] == "extra_forbidden":
                valid = {*Recipe.model_fields, *Augmentation.model_fields}
                faults.append((inner, f"unknown key {name}{suggestion(str(inner[-1]), valid)}"))
            else:
                faults.append((inner, f"{name}: {fault['msg'].lower()}, found {short(fault['input'])}"))
        return faults
    return []


def _weights_faults(grid: Grid) -> list[Fault]:
    faults: list[Fault] = []
    for start, architecture in grid.weights:
        sources, model = grid.file.weights[start], grid.models[architecture]
        if architecture not in sources:
            faults.append(
                (
                    ("weights", start),
                    f"weights {start} name none for {architecture}{suggestion(architecture, sources)}",
                )
            )
        elif (sources[architecture].file is None) == (sources[architecture].version is None):
            faults.append(
                (
                    ("weights", start, architecture),
                    f"weights {start} of {architecture}: give either file or version",
                )
            )
        elif (version := sources[architecture].version) is not None and version not in published(model):
            faults.append(
                (
                    ("weights", start, architecture, "version"),
                    f"weights {start} of {architecture}: {model.model} has no published version {version}"
                    f"{suggestion(version, published(model))}; known: {', '.join(published(model)) or 'none'}",
                )
            )
    return faults


def _rate_faults(grid: Grid) -> list[Fault]:
    pretraining = [name for name, scenario in grid.scenarios.items() if scenario.pretrain]
    place: Place = ("pretrain", "learning_rate")
    faults = _faults_of_rates(("axes", "learning_rate"), grid.file.axes.learning_rate, grid, grid.pairs)
    if not pretraining:
        return faults
    try:
        rates = parse_rates(grid.file.pretrain.get("learning_rate"))
    except ValidationError as error:
        if isinstance(grid.file.pretrain.get("learning_rate"), dict):
            return [*faults, *((place, f"pretrain.learning_rate: {_as_said(fault)}") for fault in error.errors())]
        said = f"pretrain.learning_rate: give a number or a table of them; {', '.join(pretraining)} pre-train"
        return [*faults, (place, said)]
    pairs = [(architecture, scenario) for architecture, scenario in grid.pairs if scenario in pretraining]
    faults += _faults_of_rates(place, rates, grid, pairs)
    for architecture, scenario in pairs if not faults else ():
        count = len(rates_of(rates, scenario, architecture))
        if count != 1:
            faults.append((place, f"pre-training has one rate, found {count} for {scenario}, {architecture}"))
    return faults


def _faults_of_rates(place: Place, rates: Rates, grid: Grid, pairs: Iterable[tuple[str, str]]) -> list[Fault]:
    faults: list[Fault] = []
    if isinstance(rates, RangeRates):
        for scenario, row in rates.overrides.items():
            below = (*place, "overrides", scenario)
            if scenario not in grid.file.scenarios:
                faults.append((below, f"unknown scenario {scenario}{suggestion(scenario, grid.file.scenarios)}"))
            faults += [
                ((*below, name), f"no architecture {name} in the axis{suggestion(name, grid.models)}")
                for name in row
                if name not in grid.models
            ]
        pairs = dict.fromkeys([*pairs, *((name, s) for s, row in rates.overrides.items() for name in row)])
    if isinstance(rates, RateTable):
        faults += [
            ((*place, "table", scenario), f"unknown scenario {scenario}{suggestion(scenario, grid.file.scenarios)}")
            for scenario in rates.table
            if scenario not in grid.file.scenarios
        ]
    if isinstance(rates, RateTable | RangeRates) and not rates.times:
        return [
            *faults,
            ((*place, "times"), "times is empty: there would be no rate. Give at least one factor, e.g. [1]"),
        ]
    for architecture, scenario in pairs:
        try:
            rates_of(rates, scenario, architecture)
        except UserError as error:
            faults.append((place, error.faults[0]))
        except ValidationError as error:
            below = (*place, "overrides", scenario, architecture)
            faults += [((*below, *fault["loc"]), f"overrides: {_as_said(fault)}") for fault in error.errors()]
    return faults


def _as_said(fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"] if not str(part).startswith("of_"))
    if fault["type"] == "extra_forbidden":
        return f"unknown key {name}{suggestion(str(fault['loc'][-1]), RangeTest.model_fields)}"
    return f"{name}: {fault['msg'].lower()}, found {short(fault['input'])}"


def _twin_faults(grid: Grid) -> list[Fault]:
    seen: dict[Scenario, str] = {}
    faults: list[Fault] = []
    for name, scenario in grid.scenarios.items():
        if scenario in seen:
            faults.append(
                (
                    ("scenarios", name),
                    f"{name} is the same as {seen[scenario]}: its cells would be the same work under two names",
                )
            )
        seen.setdefault(scenario, name)
    return faults


def short(value: Any) -> str:
    """Return a value as it may stand in a message: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
