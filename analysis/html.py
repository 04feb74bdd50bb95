"""A table as HTML. Everything shown is escaped by the template engine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

    from analysis.tables import Table


@cache
def engine() -> Environment:
    """Return the engine of all templates of this package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["thousands"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return made


def html(table: Table) -> str:
    """Return a table as an HTML fragment with its caption and notes."""
    return str(engine().get_template("table.html.j2").module.whole(table))  # type: ignore[attr-defined]
