"""The plan as a person reads it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sweep.forecast import HOUR, Forecast
from sweep.plan import Plan, identifier
from sweep.prices import PriceTable
from sweep.widths import EXPONENT

STATES = ("done", "failed", "stale")


def plan_tables(
    plan: Plan,
    rows: Sequence[dict[str, Any]],
    missing: Sequence[str],
    forecast: Forecast | None = None,
    prices: PriceTable | None = None,
) -> Iterator[RenderableType]:
    """Yield what ``--plan`` prints: axes, stages by kind and state, what sharing saves, what it takes, what is missing.

    Args:
        plan: the plan.
        rows: of its stages, with ``kind`` and ``state``. All that are not done are to do: failed and stale ones again.
        missing: inputs that are not at hand.
        forecast: what is left will take.
        prices: where the forecast's money comes from.
    """
    axes = Table("axis", "values", title="cells", title_justify="left", box=None)
    for axis, values in plan.axes().items():
        axes.add_row(axis, Text(f"{len(values)}: {', '.join(_short(value) for value in values)}"))
    yield axes
    yield _kinds(plan, rows, forecast)
    saved = plan.unshared - len(plan.stages)
    hours = "" if forecast is None else f" and {_hours(forecast.unshared - forecast.whole)}"
    yield Text(
        f"\n{len(plan.cells)} cells, {len(plan.stages)} stages; {plan.unshared} if each cell trained its own pre-training: sharing saves {saved}{hours}"
    )
    if forecast is not None:
        yield _costs(plan, forecast, prices)
        yield Text("\n".join(_assumptions(forecast, prices)), style="dim")
    if missing:
        yield Text(
            f"\nnot at hand ({len(missing)}); until then the keys of the stages that need them are unknown, and a run is refused:"
        )
        yield from (Text(f"- {text}") for text in missing)


def _kinds(plan: Plan, rows: Sequence[dict[str, Any]], forecast: Forecast | None) -> Table:
    table = Table("kind", "stages", *STATES, "to do", title="\nstages", title_justify="left", box=None)
    hours: dict[str, float] = defaultdict(float)
    if forecast is not None:
        table.add_column("GPU-hours")
        for stage in plan.stages:
            hours[stage.kind] += forecast.seconds[identifier(stage)] / HOUR
    for kind, count in plan.counts().items():
        states = Counter(row["state"] for row in rows if row["kind"] == kind)
        shown = [*(states[state] for state in STATES), count - states["done"]]
        table.add_row(kind, str(count), *map(str, shown), *([f"{hours[kind]:,.1f}"] if forecast else []))
    return table


def _costs(plan: Plan, forecast: Forecast, prices: PriceTable | None) -> Table:
    table = Table("what", "estimate", title="\nwhat is left takes", title_justify="left", box=None, show_header=False)
    table.add_row("GPU-hours", f"{forecast.slot_seconds / HOUR:,.1f}")
    table.add_row("wall time", f"{_hours(forecast.wall)} on {forecast.slots} ({forecast.busy:.0%} of them busy)")
    if prices is not None and forecast.device.on_demand:
        money = f"{forecast.money():,.0f} {prices.currency} on demand, about {forecast.money(spot=True):,.0f} on spot"
        table.add_row("money", money)
    seconds, keys = forecast.chain
    names = {identifier(stage): stage.name for stage in plan.stages}
    chain = " → ".join(names[key] for key in keys)
    table.add_row("longest chain", Text(f"{_hours(seconds)} on one GPU: {chain}" if keys else "none"))
    disk = forecast.disk
    images = "of a size not known before they are there" if disk.images is None else _bytes(disk.images)
    table.add_row(
        "disk", f"weights {_bytes(disk.weights)}, checkpoints {_bytes(disk.checkpoints)}, packed images {images}"
    )
    return table


def _assumptions(forecast: Forecast, prices: PriceTable | None) -> Iterator[str]:
    rates = "measured images per second" if forecast.measured else "FLOPs and an assumed utilisation where not measured"
    yield f"\nspeeds: {rates}; w GPUs at a stage are taken to be w^{EXPONENT} times as fast"
    yield "every stage is counted with all its epochs: stopping early (patience) makes it less"
    if prices is not None and forecast.device.on_demand:
        yield f"prices change: {forecast.device.instance}, {prices.source}, {prices.as_of}; GPUs in use only"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:,.1f} h" if seconds >= HOUR else f"{seconds / 60:.0f} min"


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
