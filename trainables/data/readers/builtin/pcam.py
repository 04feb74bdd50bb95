"""PatchCamelyon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trainables.data.readers.base import DataSource, ImageEntry, Listing, describe_folder, folder_of, readers, stamp
from trainables.errors import UserError

MOST_IMAGES, MOST_EDGE, MOST_PIECE = 20_000_000, 8192, 1 << 28
"""Rows of an array, pixels of an edge, and bytes of a chunk, at most: what a small file may make of itself is bounded."""


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
        labels = {part: _labels(paths[part, "y"]) for part in parts}
        for part in parts:
            _refuse_other_images(paths[part, "x"], images[part])
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


def _labels(file: Path) -> NDArray[np.generic]:
    found = _hdf5(file, "y")
    if found.dtype.kind not in "iubf" or int(np.prod(found.shape)) != found.shape[0]:
        raise UserError(f"{file}: y is {found.dtype} of shape {found.shape}, expected one number for each image")
    return np.asarray(found).reshape(-1)


def _refuse_other_images(file: Path, found: Any) -> None:
    if found.dtype != np.uint8 or len(found.shape) != 4 or found.shape[3] != 3 or max(found.shape[1:3]) > MOST_EDGE:
        raise UserError(
            f"{file}: x is {found.dtype} of shape {found.shape}, expected uint8 of shape (images, height, width, 3), with at "
            f"most {MOST_EDGE} pixels an edge"
        )


def _hdf5(file: Path, key: str) -> Any:
    """Return an array of an HDF5 file, as much of it as is really there.

    Raises:
        UserError: if it is no array of the file's own (a link leads elsewhere, perhaps in a circle), has more images than any
            set, or claims more data than the file holds: HDF5 makes up what was never written, however much that is.
    """
    import h5py

    try:
        opened = h5py.File(file, "r")
        kind = opened.get(key, getlink=True)
        if kind is None:
            raise KeyError(f"found are {', '.join(list(opened)[:8]) or 'none'}")
        found = opened[key] if isinstance(kind, h5py.HardLink) else None
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{file} is no HDF5 file with the key {key}: {error}. Download or unpack it again") from error
    if not isinstance(found, h5py.Dataset):
        what = "a group" if found is not None else f"a link to another place ({type(kind).__name__})"
        raise UserError(f"{file}: {key} is {what}, expected an array of this file")
    if not found.shape:
        raise UserError(f"{file}: {key} is a single value, expected an array with a row for each image")
    if found.is_virtual or found.external:
        raise UserError(f"{file}: {key} takes its values from other files; that is not read. Copy them into this file")
    if found.shape[0] > MOST_IMAGES:
        raise UserError(f"{file}: {key} has {found.shape[0]:,} rows; at most {MOST_IMAGES:,} are read")
    _refuse_made_up(file, key, found)
    return found


def _refuse_made_up(file: Path, key: str, found: Any) -> None:
    """Refuse an array of which parts were never written, and one whose pieces are too large to be read."""
    if found.chunks is None:
        written, wanted = found.id.get_storage_size(), found.nbytes
    else:
        piece = int(np.prod(found.chunks)) * found.dtype.itemsize
        if piece > MOST_PIECE:
            raise UserError(f"{file}: {key} lies in pieces of {piece:,} bytes; at most {MOST_PIECE:,} are read")
        written = found.id.get_num_chunks()
        wanted = int(np.prod([-(-edge // step) for edge, step in zip(found.shape, found.chunks, strict=True)]))
    if written < wanted:
        raise UserError(
            f"{file}: {key} claims {found.nbytes:,} bytes, of which the file holds only {written / wanted:.1%}: the rest was "
            "never written. Download or unpack it again"
        )
