"""The template engine of the page. It escapes all texts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2 import Environment
    from markupsafe import Markup

    from analysis.figures.drawing.figure import Figure

MOST_UNGROUPED = 4
"""Up to this many figures are shown together, whatever their groups."""


@cache
def engine() -> Environment:
    """Return the engine that renders the templates of this package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("analysis.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["thousands"] = lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    made.filters["svg"] = _svg
    made.filters["groups"] = groups
    return made


def source(template: str) -> str:
    """Return the text of a template unrendered: styles and scripts have no placeholders."""
    loader = engine().loader
    if loader is None:
        raise LookupError(f"no loader for {template}")
    return loader.get_source(engine(), template)[0]


def groups(figures: Iterable[Figure]) -> list[tuple[str, list[Figure]]]:
    """Return figures by group, in their order; a few figures form one group."""
    found: dict[str, list[Figure]] = {}
    listed = list(figures)
    for figure in listed:
        found.setdefault(figure.group if len(listed) > MOST_UNGROUPED else "", []).append(figure)
    return list(found.items())


def _svg(figure: Figure) -> Markup:
    from markupsafe import Markup

    from analysis.figures.drawing.svg import as_svg

    return Markup(as_svg(figure.drawing))  # noqa: S704 - as_svg escapes all texts
