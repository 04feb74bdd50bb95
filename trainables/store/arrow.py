"""Arrow columns as NumPy arrays, and Parquet from bytes, without importing pandas.

``pq.read_table``, ``pa.array``, ``pa.scalar``, ``fill_null`` and ``to_numpy`` of pyarrow import pandas wherever it is
installed: 1.2 s that no command here needs. DLPack does not.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_Number = TypeVar("_Number", bound=np.generic)


def read_parquet(content: bytes) -> pa.Table:
    """Return the table in the bytes of a Parquet file, each column in one piece.

    Raises:
        ValueError: if it is no Parquet file.
    """
    return pq.ParquetFile(pa.BufferReader(content)).read().combine_chunks()


def one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if isinstance(column, pa.Array):
        return column
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else whole.chunk(0)


def numbers(column: pa.Array | pa.ChunkedArray, kind: type[_Number]) -> NDArray[_Number]:
    """Return the numbers of a column, shape (length,), as a view of its memory.

    Args:
        column: of the Arrow type that matches ``kind``, without nulls.
        kind: the NumPy type of a number (not bool: Arrow packs bits).

    Raises:
        ValueError: if the column is of another type or has nulls.
    """
    whole = one_array(column)
    if whole.null_count or whole.type != pa.from_numpy_dtype(np.dtype(kind)):
        raise ValueError(f"expected {np.dtype(kind)} without nulls, found {whole.type}, {whole.null_count} nulls")
    return np.from_dlpack(whole)  # type: ignore[return-value]  # its dtype was compared above


def codes(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Number the distinct values of a column in order of appearance; -1 where it is null. Shape (length,)."""
    encoded = one_array(column).dictionary_encode(null_encoding="encode")
    found = numbers(encoded.indices, np.int32).astype(np.int64)
    values = encoded.dictionary.to_pylist()
    if None in values:
        null = values.index(None)
        found[found == null] = -1
        found[found > null] -= 1
    return found


def equal(column: pa.Array | pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Return which values of a column equal a text, shape (length,); a null equals none."""
    names = one_array(column).dictionary_encode().dictionary.to_pylist()
    found: NDArray[np.bool_] = codes(column) == (names.index(text) if text in names else len(names))
    return found


def take(column: pa.Array | pa.ChunkedArray, rows: NDArray[np.bool_]) -> pa.Array:
    """Return the values of a column where ``rows``, shape (length,), is true."""
    places = np.flatnonzero(rows).astype(np.int64)
    return one_array(column).take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
