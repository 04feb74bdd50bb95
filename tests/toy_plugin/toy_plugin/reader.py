"""A reader of arrays: one file a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainables.data.readers.base import DataSource, ImageEntry, Listing, folder_of, stamp
from trainables.errors import UserError


class ArrayFiles(DataSource):
    """``<path>/<class>.npy``, each uint8 of shape (n, height, width, 3)."""

    path: str
    negative: bool = False

    def scan(self, root: Path) -> Listing:
        folder = folder_of(root, self.path)
        files = sorted(folder.glob("*.npy"))
        if not files:
            raise UserError(f"no .npy file in {folder}")
        arrays = {file.stem: np.load(file) for file in files}
        where = [(name, row) for name, array in arrays.items() for row in range(len(array))]
        items = [ImageEntry(f"{name}/{row}", name, stamp=stamp(folder / f"{name}.npy")) for name, row in where]
        return Listing(items, lambda i: self._pixels(arrays[where[i][0]][where[i][1]]))

    def _pixels(self, pixels: np.ndarray) -> np.ndarray:
        return 255 - pixels if self.negative else pixels
