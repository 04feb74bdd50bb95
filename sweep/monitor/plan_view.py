"""The plan as tables: what ``--plan`` prints."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sweep.cost.forecast import HOUR, Forecast
from sweep.cost.prices import PriceTable
from sweep.grid.editions import edition_note
from sweep.monitor.duration import duration
from sweep.monitor.network_view import network_tables
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from sweep.schedule.parallelism import EXPONENT

STATES = ("done", "failed", "stale")
MAX_VALUES = 24
"""Values of an axis that are listed."""
MAX_COUNTED_VALUES = 12
"""An axis with at most this many values shows the number of cells of each."""
MAX_CLASSES = 100
"""Classes of a data set that are listed; all are in ``plan.json``."""
MAX_NOTES = 12
"""Notes on a split that are listed; all are in the study's ``plan.json`` and ``data_problems.parquet``."""


def plan_tables(
    plan: Plan,
    rows: Sequence[dict[str, Any]],
    inputs: Inputs,
    forecast: Forecast | None = None,
    prices: PriceTable | None = None,
) -> Iterator[RenderableType]:
    """Yield what ``--plan`` prints: axes, rules, splits, stages by kind and state, estimates, missing inputs.

    Args:
        plan: the plan.
        rows: of its stages, with ``kind`` and ``state``. All that are not done are to do, failed and stale ones again.
        inputs: the splits, and what is missing.
        forecast: estimate of what remains; None: none is shown.
        prices: the table that the forecast's money comes from.
    """
    yield _axes(plan)
    yield Text(edition_note(plan.grid.file.edition))
    yield from _rules(plan)
    yield from _data(inputs)
    yield from _splits(inputs)
    yield from network_tables(plan, inputs)
    yield _kinds(plan, rows, forecast)
    saved = plan.unshared - len(plan.stages)
    hours = "" if forecast is None else f" and {duration(forecast.unshared - forecast.whole)}"
    yield Text(
        f"\n{len(plan.cells)} cells, {len(plan.stages)} stages; {plan.unshared} if each cell trained its own pre-training: sharing saves {saved}{hours}"
    )
    if forecast is not None:
        yield _costs(plan, forecast, prices)
        yield Text("\n".join(_assumptions(forecast, prices)), style="dim")
    if inputs.missing:
        yield Text(
            f"\nnot at hand ({len(inputs.missing)}): the keys of the stages that need them are unknown, and a run is refused:"
        )
        yield from (Text(f"- {text}") for text in inputs.missing)


def _axes(plan: Plan) -> Table:
    """Each axis with its values and the number of cells of each."""
    table = Table("axis", "values", "cells each", title="cells", title_justify="left", box=None)
    for axis, counts in plan.cells_of_axes().items():
        low, high = min(counts.values(), default=0), max(counts.values(), default=0)
        counted = low != high and len(counts) <= MAX_COUNTED_VALUES
        names = [_short(value) + (f" ({cells})" if counted else "") for value, cells in counts.items()]
        rest = f", and {len(names) - MAX_VALUES} more" if len(names) > MAX_VALUES else ""
        each = f"{low}" if low == high else f"{low} to {high}"
        table.add_row(axis, Text(f"{len(names)}: {', '.join(names[:MAX_VALUES])}{rest}"), each)
    return table


def _rules(plan: Plan) -> Iterator[RenderableType]:
    """Each rule of the grid with the number of cells it applies to."""
    if not plan.rule_coverage:
        return
    table = Table("rule", "cells", "", "where", title="\nrules", title_justify="left", box=None)
    for rule in plan.rule_coverage:
        what = {"exclude": "left out", "defaults": "made with it", "zip": "made with it"}[str(rule.place[0])]
        table.add_row(Text(rule.text), str(rule.cells), what, Text(plan.grid.document.where(rule.place)))
    yield table
    if plan.excluded:
        yield Text(f"{len(plan.excluded)} cells are left out; plan.json lists them, each with its rule")


def _data(inputs: Inputs) -> Iterator[RenderableType]:
    """Each data set with the images of its classes, and what was skipped, turned, flattened, scaled or left out."""
    contents = inputs.contents()
    if contents:
        yield Text("\ndata", style="italic")
    for name, data in contents.items():
        counts = [f"{one} {images:,}" for one, images in data["classes"].items()]
        rest = f", and {len(counts) - MAX_CLASSES} more" if len(counts) > MAX_CLASSES else ""
        yield Text(
            f" {name}: {data['images']:,} images, {len(counts)} classes: {', '.join(counts[:MAX_CLASSES])}{rest}"
        )
        yield from (Text(f"   {note}") for note in data["notes"])
        if data["problems"]:
            first = inputs.prepared[name].problems[0]
            yield Text(f"   problems: {data['problems']:,}, the first: {first['image_id']} ({first['what']})")


def _splits(inputs: Inputs) -> Iterator[RenderableType]:
    """What was verified of each split, and notes on it."""
    if inputs.splits:
        yield Text("\nsplits", style="italic")
    for name, split in inputs.splits.items():
        yield Text(f" {name}: {split.proof}")
        yield from (Text(f"   {note}") for note in split.notes[:MAX_NOTES])
        if len(split.notes) > MAX_NOTES:
            yield Text(f"   and {len(split.notes) - MAX_NOTES} more: data_problems.parquet of the study lists them")


def _kinds(plan: Plan, rows: Sequence[dict[str, Any]], forecast: Forecast | None) -> Table:
    table = Table("kind", "stages", *STATES, "to do", title="\nstages", title_justify="left", box=None)
    hours: dict[str, float] = defaultdict(float)
    if forecast is not None:
        table.add_column(forecast.unit)
        for stage in plan.stages:
            hours[stage.kind] += forecast.seconds[stage.identifier]
    for kind, count in plan.counts().items():
        states = Counter(row["state"] for row in rows if row["kind"] == kind)
        shown = [*(states[state] for state in STATES), count - states["done"]]
        table.add_row(kind, str(count), *map(str, shown), *([_hours(hours[kind])] if forecast else []))
    return table


def _costs(plan: Plan, forecast: Forecast, prices: PriceTable | None) -> Table:
    table = Table(
        "what", "estimate", title="\nestimate of what remains", title_justify="left", box=None, show_header=False
    )
    table.add_row(forecast.unit, _hours(forecast.slot_seconds))
    table.add_row(
        "wall time",
        f"{duration(forecast.wall)} on {forecast.slots} ({forecast.busy:.0%} of them busy), start-up included",
    )
    if prices is not None and forecast.device.on_demand:
        money = f"{forecast.money():,.0f} {prices.currency} on demand, about {forecast.money(spot=True):,.0f} on spot"
        table.add_row("money", money)
    seconds, keys = forecast.chain
    names = {stage.identifier: stage.name for stage in plan.stages}
    chain = " → ".join(names[key] for key in keys)
    table.add_row("longest chain", Text(f"{duration(seconds)} on one slot: {chain}" if keys else "none"))
    disk = forecast.disk
    images = "of a size that is unknown while they are missing" if disk.images is None else _bytes(disk.images)
    table.add_row(
        "disk", f"weights {_bytes(disk.weights)}, checkpoints {_bytes(disk.checkpoints)}, packed images {images}"
    )
    return table


def _assumptions(forecast: Forecast, prices: PriceTable | None) -> Iterator[str]:
    widening = "" if forecast.device.is_cpu else f"; w GPUs are assumed to be w^{EXPONENT} times as fast as one"
    yield f"\nspeeds: {_speeds(forecast)}{widening}"
    yield "all epochs are counted; early stopping (patience) makes it less"
    if prices is not None and forecast.device.on_demand:
        yield f"prices change: {forecast.device.instance}, {prices.source}, {prices.as_of}; idle GPUs are not counted"


def _speeds(forecast: Forecast) -> str:
    measured = f"measured of {', '.join(forecast.measured)}" if forecast.measured else ""
    assumed = f"from FLOPs and an assumed utilisation of {', '.join(forecast.assumed)}" if forecast.assumed else ""
    return "; ".join(filter(None, (measured, assumed))) or "nothing to do"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:,.1f}" if seconds >= HOUR / 10 else f"{seconds / HOUR:.3f}"


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
