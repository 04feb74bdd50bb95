"""Data sets whose images lie inside Parquet files, as Hugging Face writes them. Read as a stream, never in whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, describe_folder, readers, stamp
from trainables.data.readers.text_rules import is_missing
from trainables.errors import UserError, suggestion

ROWS_AT_ONCE = 32
ROWS_AHEAD = 1024
"""Rows passed and not yet asked for that are kept: threads ask a little out of order."""
PARTS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}


@readers.register("parquet")
class ParquetImages(DataSource):
    """Parquet files with the columns ``image`` (bytes, or Hugging Face's struct of bytes and path) and ``label``.

    A label is a string, or an integer with the names of the classes in ``classes`` or in the schema's
    ``huggingface`` metadata. A column ``group`` is used where there is one. Files named as Hugging Face
    names them (``train-00000-of-00010.parquet``) say which part they are.
    """

    path: str = Field(description="a Parquet file, or a folder of them")
    image: str = Field("image", description="column of the encoded images")
    label: str = Field("label", description="column of the labels")
    group: str | None = Field(None, description="column of the groups; None: `group` where there is one")
    classes: tuple[str, ...] | None = Field(None, description="names of integer labels, in their order")

    def scan(self, root: Path) -> Listing:
        """List the images without reading them. Raises UserError where a file, a column or a label is missing."""
        place = root / self.path
        files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
        odd = [file for file in files if not file.is_file()]
        if place.is_dir() and odd:
            raise UserError(f"{odd[0]} is no regular file. Take it out of {place}")
        if not files or odd:
            raise UserError(f"no Parquet file {place}; {describe_folder(place if place.is_dir() else place.parent)}")
        base = place if place.is_dir() else place.parent
        rows = [row for file in files for row in self._rows(file, file.relative_to(base).as_posix())]
        if not rows:
            raise UserError(f"{place} holds no row")
        paths = [path for _, path in rows]
        named = all(paths) and len(set(paths)) == len(paths)
        items = [ImageEntry(str(path) if named else i.image_id, i.label, i.group, i.part, i.stamp) for i, path in rows]
        return Listing(items, _Stream(files, self.image).load)

    def _rows(self, file: Path, name: str) -> Iterator[tuple[ImageEntry, str | None]]:
        """Yield the rows of a file, named by their number, and the path that the image's struct gives."""
        try:
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            self._check(file, schema)
            has_path = pa.types.is_struct(schema.field(self.image).type) and _has(schema.field(self.image).type, "path")
            group = self.group or ("group" if "group" in schema.names else None)
            wanted = [self.label, *([group] if group else []), *([f"{self.image}.path"] if has_path else [])]
            table = parquet.read(columns=wanted)
            groups = table.column(group).cast(pa.string()).to_pylist() if group else [None] * len(table)
            paths = [p and p["path"] for p in table.column(self.image).to_pylist()] if has_path else [None] * len(table)
        except (OSError, pa.ArrowException, ValueError, OverflowError) as error:
            raise UserError(f"{file} cannot be read as Parquet: {error}. Download it again") from error
        labels = self._labels(file, table.column(self.label), schema)
        part, when = _part(file), stamp(file)
        for row, (label, own, path) in enumerate(zip(labels, groups, paths, strict=True)):
            yield ImageEntry(f"{name}/{row}", label, own or None, part, when), path

    def _check(self, file: Path, schema: pa.Schema) -> None:
        wanted = [self.image, self.label, *([self.group] if self.group else [])]
        missing = [name for name in wanted if name not in schema.names]
        if missing:
            hint = suggestion(missing[0], schema.names)
            raise UserError(f"{file} has no column {', '.join(missing)}{hint}; found: {', '.join(schema.names)}")
        kind = schema.field(self.image).type
        inner = kind.field("bytes").type if pa.types.is_struct(kind) and _has(kind, "bytes") else kind
        if not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
            raise UserError(
                f"{file}: column {self.image} is {kind}, expected the bytes of encoded images, or a struct with `bytes`"
            )
        for name in (self.label, self.group or "group"):
            if name in schema.names and not _is_plain(schema.field(name).type):
                raise UserError(f"{file}: column {name} is {schema.field(name).type}, expected text or numbers")
        if pa.types.is_struct(kind) and _has(kind, "path") and not _is_text(kind.field("path").type):
            raise UserError(f"{file}: {self.image}.path is {kind.field('path').type}, expected text")

    def _labels(self, file: Path, column: pa.ChunkedArray, schema: pa.Schema) -> list[str]:
        values = self._values(file, column)
        blank = next(
            (row for row, value in enumerate(values) if value in (None, "") or (self.tidy and is_missing(str(value)))),
            None,
        )
        if blank is not None:
            given = f" ({values[blank]!r})" if values[blank] not in (None, "") else ""
            raise UserError(f"{file} has no {self.label} in row {blank}{given}")
        names = self.classes or _names(schema, self.label)
        if names is None or not pa.types.is_integer(column.type):
            return [str(value) for value in values]
        outside = sorted({value for value in values if not 0 <= value < len(names)})
        if outside:
            raise UserError(
                f"{file} has the label {outside[0]}, but names of classes for 0 to {len(names) - 1}: {', '.join(names)}"
            )
        return [names[value] for value in values]

    def _values(self, file: Path, column: pa.ChunkedArray) -> list[Any]:
        try:
            return list(column.to_pylist())
        except (ValueError, OverflowError) as error:
            raise UserError(f"{file}: column {self.label} cannot be read: {error}") from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column can name classes or groups: text or numbers, as they are or as a dictionary."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    numeric = pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner)
    return bool(numeric or _is_text(inner) or pa.types.is_string_view(inner))


def _has(kind: pa.DataType, name: str) -> bool:
    return bool(kind.get_field_index(name) >= 0)


def _part(file: Path) -> str | None:
    found = re.match(r"(\w+)-\d+-of-\d+", file.stem)
    return PARTS.get(found[1]) if found else None


def _names(schema: pa.Schema, label: str) -> Sequence[str] | None:
    """Return the names of the classes as Hugging Face keeps them in the schema's metadata."""
    try:
        features: dict[str, Any] = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in (names.values() if isinstance(names, dict) else names)]


class _Stream:
    """Gives the encoded images of some files by row, in about their order; memory holds a few rows, not a row group."""

    def __init__(self, files: Sequence[Path], column: str) -> None:
        self._files = files
        self._column = column
        self._groups: list[tuple[Path, int]] = []
        counts: list[int] = []
        for file in files:
            metadata = pq.read_metadata(file)
            self._groups += [(file, group) for group in range(metadata.num_row_groups)]
            counts += [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._lock = Lock()
        self._ahead: dict[int, bytes | None] = {}
        self._next = 0
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def load(self, row: int) -> bytes:
        """Return the bytes of a row. Raises UserError where there are none."""
        with self._lock:
            if row not in self._ahead:
                try:
                    self._read_to(row)
                except (OSError, pa.ArrowException) as error:
                    raise UserError(f"a Parquet file of {self._files[0].parent} cannot be read: {error}") from error
            content = self._ahead.pop(row)
        if content is None:
            raise UserError(
                f"row {row} of {self._files[0].parent} has no image bytes, only a path: use the reader `manifest`"
            )
        return content

    def _read_to(self, row: int) -> None:
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if row < self._next or self._starts[group] > self._next:
            self._ahead.clear()
            self._open(group)
        while row >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                self._open(int(np.searchsorted(self._starts, self._next, side="right")) - 1)
                continue
            column = batch.column(0)
            values = column.field("bytes") if pa.types.is_struct(column.type) else column
            self._ahead.update(enumerate(values.to_pylist(), self._next))
            self._next += len(values)
        for old in list(self._ahead)[: max(0, len(self._ahead) - ROWS_AHEAD)]:
            del self._ahead[old]

    def _open(self, group: int) -> None:
        file, number = self._groups[group]
        # A small buffer and no pre-buffering: else Arrow reads a whole row group, which may be a whole file.
        parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        kind = parquet.schema_arrow.field(self._column).type
        name = f"{self._column}.bytes" if pa.types.is_struct(kind) else self._column
        self._next = int(self._starts[group])
        self._batches = parquet.iter_batches(ROWS_AT_ONCE, row_groups=[number], columns=[name], use_threads=False)
