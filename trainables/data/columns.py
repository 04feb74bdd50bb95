"""Arrow columns as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Number the distinct values of a column in order of appearance; -1 where there is none."""
    found = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
