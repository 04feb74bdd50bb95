"""Arrow columns as NumPy arrays, and tables as Parquet bytes, without importing pandas.

``pq.read_table``, ``pa.array``, ``pa.scalar``, ``fill_null`` and ``to_numpy`` of pyarrow import pandas if it is
installed, which takes 1.2 s. DLPack does not.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.store.untrusted import MOST_TABLE

_Number = TypeVar("_Number", bound=np.generic)


def read_parquet(content: bytes) -> pa.Table:
    """Return the table in the bytes of a Parquet file, each column in one chunk.

    In this thread: one of pyarrow's own may still hold the bytes, a Python object, when the interpreter goes, and then ends
    the process with SIGABRT (https://github.com/apache/arrow/issues/34314).
    A file may unpack to far more than its size, since a repeated value is stored once. So texts are read as numbers into
    a dictionary, and are counted before they are written out; nested columns are read in portions that fit the bound.

    Raises:
        ValueError: if it is not a Parquet file, or takes more than ``MOST_TABLE`` in memory.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        schema, rows = file.schema_arrow, max(1, file.metadata.num_rows)
        if len(set(schema.names)) < len(schema.names):
            raise ValueError("two of its columns have the same name")
        for field in schema:
            if pa.types.is_temporal(field.type):
                raise ValueError(
                    f"its column {field.name} is {field.type}; no table that this project writes has times"
                )
        texts = [field.name for field in schema if field.type in _TEXTS and "." not in field.name]
        others = [field.type for field in schema if field.name not in texts]
        if all(map(pa.types.is_primitive, others)):
            if rows * _WIDEST * len(schema) > MOST_TABLE:
                raise _too_large()
            coded = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts).read(use_threads=False)
            if sum(map(_decoded_size, coded.columns)) > MOST_TABLE:
                raise _too_large()
            return coded.cast(schema).combine_chunks()
        longest = max((file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups)), default=0)
        return _in_portions(file, rows if longest * rows <= MOST_TABLE else max(64, MOST_TABLE // max(1, longest)))
    except (pa.ArrowException, OSError, NotImplementedError) as error:
        raise ValueError(f"it is no Parquet file that can be read: {' '.join(str(error).split())[:300]}") from error


_TEXTS = (pa.string(), pa.binary())
_WIDEST = 16
"""Bytes of the widest number, and of a reference into a dictionary."""


def _decoded_size(column: pa.ChunkedArray) -> int:
    """Return the bytes of a column's texts, each as often as it occurs; 0 for numbers."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = (pc.take(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(pc.cast(one, pa.int64())).as_py() or 0 for one in lengths)


def _in_portions(file: pq.ParquetFile, rows: int) -> pa.Table:
    batches, size = [], 0
    for batch in file.iter_batches(batch_size=min(rows, 1 << 20), use_threads=False):
        size += batch.nbytes
        if size > MOST_TABLE:
            raise _too_large()
        batches.append(batch)
    return pa.Table.from_batches(batches, file.schema_arrow).combine_chunks()


def _too_large() -> ValueError:
    return ValueError(f"it unpacks to more than {MOST_TABLE / 1e6:,.0f} MB, the most that is read of a table")


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without chunks."""
    if isinstance(column, pa.Array):
        return column
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else whole.chunk(0)


def numbers(column: pa.Array | pa.ChunkedArray, kind: type[_Number]) -> NDArray[_Number]:
    """Return a numeric column as a view of its memory, shape (length,).

    Args:
        column: of the Arrow type that matches ``kind``, without nulls.
        kind: NumPy scalar type (not bool: Arrow packs bits).

    Raises:
        ValueError: if the column is of another type or has nulls.
    """
    whole = one_array(column)
    if whole.null_count or whole.type != pa.from_numpy_dtype(np.dtype(kind)):
        raise ValueError(f"expected {np.dtype(kind)} without nulls, found {whole.type}, {whole.null_count} nulls")
    return np.from_dlpack(whole)  # type: ignore[return-value]  # its dtype was compared above


def codes(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the index of each value among the distinct ones in order of appearance, shape (length,); -1 for null."""
    encoded = one_array(column).dictionary_encode(null_encoding="encode")
    found = numbers(encoded.indices, np.int32).astype(np.int64)
    values = encoded.dictionary.to_pylist()
    if None in values:
        null = values.index(None)
        found[found == null] = -1
        found[found > null] -= 1
    return found


def equal(column: pa.Array | pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Return which values of a column equal a text.

    Args:
        column: of strings.
        text: to compare with; a null equals no text.

    Returns:
        a mask, shape (length,).
    """
    names = one_array(column).dictionary_encode().dictionary.to_pylist()
    found: NDArray[np.bool_] = codes(column) == (names.index(text) if text in names else len(names))
    return found


def take(column: pa.Array | pa.ChunkedArray, rows: NDArray[np.bool_]) -> pa.Array:
    """Select values of a column.

    Args:
        column: of any type.
        rows: mask of the values to return, shape (length,).
    """
    places = np.flatnonzero(rows).astype(np.int64)
    return one_array(column).take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
