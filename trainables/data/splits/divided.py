"""The images of a data set that a split divides: all but those that are left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.packing.prepare import Packed


@dataclass(frozen=True)
class DividedImages:
    """Images that are divided.

    Attributes:
        index: their rows of ``Packed.index``.
        classes: names of the classes of the data set.
    """

    index: pa.Table
    classes: tuple[str, ...]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Label of each image, shape (N,)."""
        return np.asarray(self.index.column("label").to_numpy(), dtype=np.int64)


def divided(data: Packed, without: Collection[str] = ()) -> DividedImages:
    """Return the images of a data set that a split divides.

    Args:
        data: the data set.
        without: ids of further images to leave out.
    """
    index = data.index
    left_out = np.asarray(index.column("left_out").is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    if without:
        left_out |= np.isin(np.array(index.column("image_id").to_pylist(), dtype=object), list(without))
    return DividedImages(index.filter(pa.array(~left_out)) if left_out.any() else index, data.classes)
