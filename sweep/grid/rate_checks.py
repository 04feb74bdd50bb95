"""Checks of what cells start from: published or own weights, and learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from sweep.grid.faults import Fault, schema_faults
from sweep.grid.grid import Grid, published
from sweep.grid.learning_rates import parse_rates, rates_of
from sweep.grid.schema import RangeRates, RangeTest, Rates, RateTable
from sweep.grid.yaml_document import Path
from trainables.errors import UserError, suggestion


def check_weights(grid: Grid) -> Iterator[Fault]:
    """Yield what is wrong with the weights that scenarios start from."""
    for start, architecture in grid.weights:
        sources, at = grid.file.weights[start], ("weights", start, architecture)
        if architecture not in sources:
            hint = suggestion(architecture, sources)
            yield at[:2], f"weights {start} name none for {architecture}{hint}"
            continue
        of, model = f"weights {start} of {architecture}", grid.models[architecture]
        file, version = sources[architecture].file, sources[architecture].version
        if (file is None) == (version is None):
            yield at, f"{of}: give either file or version"
        elif version is not None and version not in (versions := published(model)):
            hint = f"{suggestion(version, versions)}; known: {', '.join(versions) or 'none'}"
            yield (*at, "version"), f"{of}: {model.model} has no published version {version}{hint}"


def check_rates(grid: Grid) -> Iterator[Fault]:
    """Yield what is wrong with the rates of fine-tuning."""
    return _rate_faults(grid, grid.file.axes.learning_rate, ("axes", "learning_rate"), grid.pairs)


def check_pretraining_rates(grid: Grid) -> Iterator[Fault]:
    """Yield what is wrong with the rates of pre-training, if a scenario pre-trains."""
    scenarios = [name for name, scenario in grid.scenarios.items() if scenario.pretrain]
    at, given = ("pretrain", "learning_rate"), grid.file.pretrain.get("learning_rate")
    if not scenarios:
        return
    try:
        rates = parse_rates(given)
    except ValidationError as error:
        if isinstance(given, dict):
            yield from schema_faults(error, given, at, Rates)
        else:
            yield at, f"pretrain.learning_rate: give a number or a table of them; {', '.join(scenarios)} pre-train"
        return
    pairs = [(architecture, scenario) for architecture, scenario in grid.pairs if scenario in scenarios]
    faults = list(_rate_faults(grid, rates, at, pairs))
    yield from faults
    for architecture, scenario in pairs if not faults else ():
        count = len(rates_of(rates, scenario, architecture))
        if count != 1:
            yield at, f"pre-training has one rate, found {count} for {scenario}, {architecture}"


def _rate_faults(grid: Grid, rates: Rates, at: Path, pairs: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    """Yield what is wrong with rates.

    Args:
        grid: the grid.
        rates: of fine-tuning or of pre-training.
        at: their path in the document.
        pairs: each architecture and scenario that needs one.
    """
    scenarios = grid.file.scenarios
    table = rates.overrides if isinstance(rates, RangeRates) else rates.table if isinstance(rates, RateTable) else {}
    part = "overrides" if isinstance(rates, RangeRates) else "table"
    for scenario in table:
        if scenario not in scenarios:
            yield (*at, part, scenario), f"unknown scenario {scenario}{suggestion(scenario, scenarios)}"
    if isinstance(rates, RangeRates):
        named = [(architecture, scenario) for scenario, row in rates.overrides.items() for architecture in row]
        for architecture, scenario in named:
            if architecture not in grid.models:
                hint = suggestion(architecture, grid.models)
                yield (*at, part, scenario, architecture), f"no architecture {architecture} in the axis{hint}"
        pairs = dict.fromkeys([*pairs, *named])
    if isinstance(rates, RateTable | RangeRates) and not rates.times:
        yield (*at, "times"), "times is empty: there would be no rate. Give at least one factor, e.g. [1]"
        return
    for architecture, scenario in pairs:
        try:
            rates_of(rates, scenario, architecture)
        except UserError as error:
            yield at, error.faults[0]
        except ValidationError as error:
            override = table[scenario][architecture]
            yield from schema_faults(error, override, (*at, part, scenario, architecture), RangeTest)
