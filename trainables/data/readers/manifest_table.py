"""Tables of names: manifests (path, label, group) and group files, as CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.data.readers.base import describe_folder
from trainables.data.readers.text_rules import is_missing
from trainables.errors import UserError

Row = dict[str, Any]


def table_rows(
    file: Path, needed: Sequence[str] = ("path", "label"), columns: Sequence[str] = (), tidy: bool = False
) -> list[dict[str, str]]:
    """Return the rows of a table, every value as text.

    Args:
        file: CSV in UTF-8, or Parquet by its ending.
        needed: columns that must be there, with a value in every row.
        columns: that must be there; those that are needed always must.
        tidy: refuse rows longer or shorter than the header, columns named twice, and missing values (NaN) where one is needed.

    Raises:
        UserError: if the file, a column or a value is missing.
    """
    if not file.is_file():
        raise UserError(f"no file {file}; {describe_folder(file.parent)}")
    is_parquet = file.suffix == ".parquet"
    try:
        found, rows = _parquet_rows(file) if is_parquet else _csv_rows(file, tidy)
    except (OSError, ValueError, csv.Error, NotImplementedError) as error:
        raise UserError(f"{file} cannot be read as {'Parquet' if is_parquet else 'CSV in UTF-8'}: {error}") from error
    missing = [column for column in dict.fromkeys([*needed, *columns]) if column not in found]
    if missing:
        raise UserError(f"{file} has no column {', '.join(missing)}; found: {', '.join(found) or 'nothing'}")
    if not rows:
        raise UserError(f"{file} has a header, but no row")
    for number, row in enumerate(rows, 1):
        blank = [column for column in needed if row[column] in (None, "") or (tidy and is_missing(str(row[column])))]
        if blank:
            given = f" ({row[blank[0]]!r})" if row[blank[0]] not in (None, "") else ""
            raise UserError(f"{file} has no {' and no '.join(blank)} in row {number}{given}")
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def _csv_rows(file: Path, tidy: bool) -> tuple[list[str], list[Row]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        if not tidy:
            reader = csv.DictReader(stream)
            rows = list(reader)
            return list(reader.fieldnames or []), rows
        lines = csv.reader(stream)
        header = next(lines, [])
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise ValueError(f"column {', '.join(map(repr, twice))} is there twice")
        whole = []
        for values in lines:
            if len(values) not in (0, len(header)):
                raise ValueError(
                    f"line {lines.line_num} has {len(values)} columns, the header {len(header)} ({', '.join(header)}): "
                    f"{', '.join(map(repr, values[:6]))}. A value with a comma in it is written in double quotes"
                )
            if values:
                whole.append(dict(zip(header, values, strict=True)))
        return header, whole


def _parquet_rows(file: Path) -> tuple[list[str], list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        wanted = [name for name in ("path", "label", "group") if name in table.column_names]
        odd = [name for name in wanted if pa.types.is_nested(table.schema.field(name).type)]
        if odd:
            raise ValueError(f"column {odd[0]} is {table.schema.field(odd[0]).type}, expected text or numbers")
        return table.column_names, table.select(wanted).to_pylist()
    except (pa.ArrowException, OverflowError) as error:
        raise ValueError(str(error)) from error
