"""PatchCamelyon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trainables.data.readers.base import DataSource, ImageEntry, Listing, describe_folder, folder_of, readers, stamp
from trainables.errors import UserError


@readers.register("pcam")
class PCam(DataSource):
    """PatchCamelyon's HDF5 files, with its own train, valid and test parts.

    Keys ``x`` (N, 96, 96, 3 uint8) and ``y`` (N, 1, 1, 1).
    """

    origin: ClassVar[str] = "https://github.com/basveeling/pcam (7 GB, CC0; unpack the .gz files)"
    path: str = "pcam"

    def scan(self, root: Path) -> Listing:
        """List the patches. Raises UserError where a file is missing or of another shape."""
        folder = folder_of(root, self.path, self.origin)
        parts = {"train": "train", "valid": "val", "test": "test"}
        paths = {(p, a): folder / f"camelyonpatch_level_2_split_{p}_{a}.h5" for p in parts for a in "xy"}
        missing = [path.name for path in paths.values() if not path.is_file()]
        if missing:
            raise UserError(
                f"missing in {folder}: {', '.join(missing)}; {describe_folder(folder)}. To be had from {self.origin}"
            )
        images = {part: _hdf5(paths[part, "x"], "x") for part in parts}
        labels = {part: np.asarray(_hdf5(paths[part, "y"], "y")).reshape(-1) for part in parts}
        for part in parts:
            if len(images[part]) != len(labels[part]):
                raise UserError(
                    f"{paths[part, 'x']} holds {len(images[part])} images, its y file {len(labels[part])} labels"
                )
            if not np.isin(labels[part], (0, 1)).all():
                raise UserError(f"{paths[part, 'y']} holds labels other than 0 (normal) and 1 (tumour)")
        where = [(part, row) for part in parts for row in range(len(labels[part]))]
        stamps = {part: stamp(paths[part, "x"]) for part in parts}  # one file holds all of a part
        names = {part: np.where(labels[part], "tumour", "normal").tolist() for part in parts}
        items = [ImageEntry(f"{part}/{row}", names[part][row], None, parts[part], stamps[part]) for part, row in where]
        return Listing(items, lambda i: np.asarray(images[where[i][0]][where[i][1]]))


def _hdf5(file: Path, key: str) -> Any:
    import h5py

    try:
        return h5py.File(file, "r")[key]
    except (OSError, KeyError) as error:
        raise UserError(f"{file} is no HDF5 file with the key {key}: {error}. Download or unpack it again") from error
