"""Tables of names: manifests (path, label, group) and group files, as CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.data.readers.base import describe_folder
from trainables.errors import UserError


def table_rows(file: Path, needed: Sequence[str] = ("path", "label")) -> list[dict[str, str]]:
    """Return the rows of a table, every value as text.

    Args:
        file: CSV in UTF-8, or Parquet by its ending.
        needed: columns that must be there, with a value in every row.

    Raises:
        UserError: if the file, a column or a value is missing.
    """
    if not file.is_file():
        raise UserError(f"no file {file}; {describe_folder(file.parent)}")
    try:
        found, rows = _parquet_rows(file) if file.suffix == ".parquet" else _csv_rows(file)
    except (ValueError, csv.Error) as error:
        raise UserError(
            f"{file} cannot be read as {'Parquet' if file.suffix == '.parquet' else 'CSV in UTF-8'}: {error}"
        ) from error
    missing = [column for column in needed if column not in found]
    if missing:
        raise UserError(f"{file} has no column {', '.join(missing)}; found: {', '.join(found) or 'nothing'}")
    if not rows:
        raise UserError(f"{file} has a header, but no row")
    for number, row in enumerate(rows, 1):
        blank = [column for column in needed if row[column] in (None, "")]
        if blank:
            raise UserError(f"{file} has no {' and no '.join(blank)} in row {number}")
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def _csv_rows(file: Path) -> tuple[list[str], list[dict[str, Any]]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        return list(reader.fieldnames or []), rows


def _parquet_rows(file: Path) -> tuple[list[str], list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    return table.column_names, table.to_pylist()
