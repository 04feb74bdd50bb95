"""Parquet and Arrow without pandas.

``pq.read_table``, ``pa.array``, ``pa.scalar`` and ``to_numpy`` of pyarrow import pandas wherever it is
installed, which costs half a second and is needed for nothing here.
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


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else whole.chunk(0)


def numbers(array: pa.Array | pa.ChunkedArray, kind: type[_Number]) -> NDArray[_Number]:
    """Return the numbers of an array, shape (length,), as a view of its own memory.

    Args:
        array: of the Arrow type that matches ``kind``, without nulls.
        kind: the numpy type of a number (not bool: Arrow packs bits).

    Raises:
        ValueError: if the array is of another type or has nulls.
    """
    whole = one_array(array) if isinstance(array, pa.ChunkedArray) else array
    if whole.null_count or whole.type != pa.from_numpy_dtype(np.dtype(kind)):
        raise ValueError(f"expected {np.dtype(kind)} without gaps, found {whole.type}, {whole.null_count} gaps")
    start = whole.offset * np.dtype(kind).itemsize
    return np.frombuffer(whole.buffers()[1] or b"", dtype=kind, count=len(whole), offset=start)


def equal(column: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Return which strings of a column without nulls equal a text, shape (length,)."""
    encoded = one_array(column).dictionary_encode()
    known = encoded.dictionary.to_pylist()
    place = known.index(text) if text in known else -1
    found: NDArray[np.bool_] = numbers(encoded.indices, np.int32) == place
    return found


def take(column: pa.ChunkedArray, rows: NDArray[np.bool_]) -> pa.Array:
    """Return the values of a column where ``rows``, shape (length,), is true."""
    places = np.flatnonzero(rows).astype(np.int64)
    return one_array(column).take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
