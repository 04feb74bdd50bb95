"""Arrow columns as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Number the distinct values of a column in order of appearance; -1 where there is none."""
    found = column.combine_chunks().dictionary_encode().indices
    # By the buffers: to_numpy and fill_null import pandas wherever it is installed.
    valid, values = found.buffers()
    numbers = np.frombuffer(values or b"", np.int32, len(found), found.offset * 4).astype(np.int64)
    if found.null_count and valid is not None:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        numbers[bits[found.offset : found.offset + len(found)] == 0] = -1
    return numbers


def equal(column: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Say which values of a column are a text, shape (length,)."""
    names = column.combine_chunks().dictionary_encode().dictionary.to_pylist()
    found: NDArray[np.bool_] = codes(column) == (names.index(text) if text in names else len(names))
    return found
