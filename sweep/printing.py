"""The plan as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sweep.plan import Plan


def plan_tables(plan: Plan, rows: Sequence[dict[str, Any]], missing: Sequence[str]) -> Iterator[RenderableType]:
    """Yield what ``--plan`` prints: axes, stages by kind and state, what sharing saves, what is missing."""
    axes = Table("axis", "values", title="cells", title_justify="left", box=None)
    for axis, values in plan.axes().items():
        axes.add_row(axis, Text(f"{len(values)}: {', '.join(_short(value) for value in values)}"))
    yield axes
    kinds = Table("kind", "stages", "done", "failed", "to do", title="\nstages", title_justify="left", box=None)
    for kind, count in plan.counts().items():
        states = Counter(row["state"] for row in rows if row["kind"] == kind)
        kinds.add_row(kind, str(count), str(states["done"]), str(states["failed"]), str(count - states["done"]))
    yield kinds
    saved = plan.unshared - len(plan.stages)
    yield Text(
        f"\n{len(plan.cells)} cells, {len(plan.stages)} stages; {plan.unshared} if each cell trained its own pre-training: sharing saves {saved}"
    )
    if missing:
        yield Text(
            f"\nnot at hand ({len(missing)}); until then the keys of the stages that need them are unknown, and a run is refused:"
        )
        yield from (Text(f"- {text}") for text in missing)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
