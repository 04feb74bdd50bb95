"""A table as files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.formats.latex import latex
from analysis.formats.markdown import markdown

if TYPE_CHECKING:
    from analysis.formats.table import Table


def table_files(table: Table) -> Iterator[tuple[str, bytes]]:
    """Yield file name and content of a table as CSV (full precision), Markdown and LaTeX."""
    for suffix, text in (("csv", table.to_csv()), ("md", markdown(table)), ("tex", latex(table))):
        yield f"{table.name}.{suffix}", text.encode()
