"""One table object; CSV, Markdown, LaTeX, HTML and terminal text are views of it.

CSV has every key as a column of its own, in full precision. The other views show mean and SD as one
column, rounded. A gap is empty in CSV and a dash elsewhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from analysis.formats.number_format import FormattedCell, Value, value_text

Kind = Literal["text", "count", "score", "number", "p", "rate"]


@dataclass(frozen=True)
class Column:
    """A column as shown.

    Attributes:
        key: of its value in a row.
        kind: ``text``, ``count``, ``score`` (three decimals), ``number`` (three digits), ``p``, or ``rate``.
        std_key: of the SD shown beside the value as ``mean ± SD``, if it has one.
        best: whether the highest value of the column is marked.
        noted: whether the marks of a row's footnotes stand in this column.
    """

    key: str
    heading: str
    kind: Kind = "text"
    std_key: str | None = None
    best: bool = False
    noted: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its values: one, or mean and SD."""
        return (self.key,) if self.std_key is None else (self.key, self.std_key)


@dataclass(frozen=True)
class Row:
    """Plain values by key, and the marks of the footnotes that belong to the row."""

    values: Mapping[str, Value]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Footnote:
    """A note below a table; ``mark`` is empty where it concerns the whole table."""

    mark: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table, independent of how it is shown.

    Attributes:
        name: of its files, and of its label in LaTeX.
        caption: says what the figures are.
        page_by: keys by whose values the page shows it in pieces, each to be opened.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    footnotes: tuple[Footnote, ...] = ()
    page_by: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the CSV file."""
        return tuple(key for column in self.columns for key in column.keys)

    @cached_property
    def shown(self) -> tuple[tuple[FormattedCell, ...], ...]:
        """The rows as people see them."""
        best = {column.key: _best(column, self.rows) for column in self.columns}
        return tuple(tuple(_show(column, row, best[column.key]) for column in self.columns) for row in self.rows)

    def pieces(self) -> tuple[tuple[tuple[Value, ...], Table], ...]:
        """Return a table for each combination of the values of ``page_by``, without these columns."""
        keys = self.page_by
        columns = tuple(column for column in self.columns if column.key not in keys)
        found: dict[tuple[Value, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row.values[key] for key in keys), []).append(row)
        return tuple((values, replace(self, columns=columns, rows=tuple(rows))) for values, rows in found.items())

    def to_csv(self) -> str:
        """Return CSV in full precision: every number reads back as the same float64."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.keys)
        # csv writes floats by repr and None as nothing, as wanted.
        writer.writerows([row.values[key] for key in self.keys] for row in self.rows)
        return stream.getvalue()


def _best(column: Column, rows: tuple[Row, ...]) -> float | None:
    values = [value for row in rows if isinstance(value := row.values[column.key], int | float)]
    # Where all are alike none is the best.
    return max(values) if column.best and len(set(values)) > 1 else None


def _show(column: Column, row: Row, best: float | None) -> FormattedCell:
    value = row.values[column.key]
    return FormattedCell(
        text=value_text(value, column.kind),
        std=None if column.std_key is None else value_text(row.values[column.std_key], column.kind),
        marks=row.marks if column.noted else (),
        best=best is not None and value == best,
        number=column.kind != "text",
    )
