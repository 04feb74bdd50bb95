"""The table object that CSV, Markdown, LaTeX, HTML and terminal text are written from.

CSV has a column for every key, in full precision. The other formats show mean and standard deviation (SD) rounded, in
one column. A missing value is empty in CSV and a dash elsewhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from analysis.formats.number_format import FormattedCell, Value, value_text

FORMULA = ("=", "+", "-", "@", "\t")
"""Beginnings of texts that a spreadsheet computes."""

Kind = Literal["text", "count", "score", "number", "p", "rate"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: key of its value in ``Row.values``.
        heading: text of the header cell.
        kind: how values are formatted: ``text``, ``count``, ``score`` (three decimals), ``number`` (three significant
            digits), ``p`` (p-value) or ``rate`` (learning rate).
        std_key: key of the SD that is shown as ``mean ± SD``; None where there is none.
        best: whether the highest value of the column is highlighted.
        marked: whether the footnote marks of a row are shown in this column.
    """

    key: str
    heading: str
    kind: Kind = "text"
    std_key: str | None = None
    best: bool = False
    marked: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its values: one, or mean and SD."""
        return (self.key,) if self.std_key is None else (self.key, self.std_key)


@dataclass(frozen=True)
class Row:
    """The values of a row by key, and the marks of its footnotes."""

    values: Mapping[str, Value]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Footnote:
    """A note below a table; ``mark`` is empty if it concerns the whole table."""

    mark: str
    text: str


@dataclass(frozen=True)
class Table:
    """A table, independent of its output format.

    Attributes:
        title: heading, without a full stop.
        columns: in the order of display.
        rows: each has a value for every key of the columns.
        caption: what the values are and how they were computed.
        footnotes: in the order of display.
        page_by: the page shows one collapsible table for each combination of the values of these keys.
        name: file name without ending, and label in LaTeX. A table of the report gets that of its entry.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    footnotes: tuple[Footnote, ...] = ()
    page_by: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        """Check that every row has all values.

        Raises:
            ValueError: if one lacks a value.
        """
        for number, row in enumerate(self.rows):
            if lacking := [key for key in self.keys if key not in row.values]:
                raise ValueError(f"table {self.title!r}: row {number} has no value of {', '.join(lacking)}")

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The columns of the CSV file."""
        return tuple(key for column in self.columns for key in column.keys)

    @cached_property
    def formatted(self) -> tuple[tuple[FormattedCell, ...], ...]:
        """The cells of each row as displayed."""
        best = {column.key: _best(column, self.rows) for column in self.columns}
        return tuple(tuple(_format(column, row, best[column.key]) for column in self.columns) for row in self.rows)

    def pieces(self) -> tuple[tuple[tuple[Value, ...], Table], ...]:
        """Return for each combination of the values of ``page_by`` a table without these columns."""
        keys = self.page_by
        columns = tuple(column for column in self.columns if column.key not in keys)
        found: dict[tuple[Value, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(row.values[key] for key in keys), []).append(row)
        return tuple((values, replace(self, columns=columns, rows=tuple(rows))) for values, rows in found.items())

    def to_csv(self) -> str:
        """Return CSV in full precision: every number reads back as the same float64. Texts are never formulas."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(map(no_formula, self.keys))
        # The csv module writes floats by repr and None as an empty field.
        writer.writerows([no_formula(row.values[key]) for key in self.keys] for row in self.rows)
        return stream.getvalue()


def no_formula(value: Value) -> Value:
    """Return a value of a CSV file: a text that a spreadsheet would compute is preceded by an apostrophe, numbers are not.

    Args:
        value: of a cell.
    """
    if not isinstance(value, str):
        return value
    text = value.replace(
        "\r", "\\r"
    )  # the csv module would not quote it, and a reader would take it for an end of line
    return f"'{text}" if text.startswith(FORMULA) else text


def _best(column: Column, rows: tuple[Row, ...]) -> float | None:
    values = [value for row in rows if isinstance(value := row.values[column.key], int | float)]
    # Equal values: none is the best.
    return max(values) if column.best and len(set(values)) > 1 else None


def _format(column: Column, row: Row, best: float | None) -> FormattedCell:
    value = row.values[column.key]
    return FormattedCell(
        text=value_text(value, column.kind),
        std=None if column.std_key is None else value_text(row.values[column.std_key], column.kind),
        marks=row.marks if column.marked else (),
        best=best is not None and value == best,
        number=column.kind != "text",
    )
