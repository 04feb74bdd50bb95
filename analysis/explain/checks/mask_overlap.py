"""How much of a map's heat lies in the cell, and in its nucleus, where masks exist."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from analysis.explain.records.records import IN_CELL, IN_NUCLEUS
from trainables.data.readers.builtin.bone_marrow import BoneMarrow
from trainables.data.readers.builtin.generated import Generated
from trainables.data.readers.data_spec import DataSpec
from trainables.data.synthetic import generated

CellMask = NDArray[np.uint8]
BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
MaskOf = Callable[[str], CellMask | None]
"""From an image id to its mask, square, of the values above; None where there is none."""


def heat_shares(heat: NDArray[np.float32], mask: CellMask) -> dict[str, float | None]:
    """Return the shares of heat in the cell and in the nucleus, by the name of the check.

    None where a share is undefined: no heat at all, or nothing of the kind in the mask.
    """
    total = float(heat.sum(dtype=np.float64))
    parts = {IN_CELL: mask > BACKGROUND, IN_NUCLEUS: mask == NUCLEUS}
    return {
        name: float(heat[part].sum(dtype=np.float64)) / total if total > 0 and part.any() else None
        for name, part in parts.items()
    }


def no_masks(_: str) -> CellMask | None:
    """Return None: there are no masks."""
    return None


def masks_of(spec: DataSpec, root: Path | None, folder: Path | None, size: int) -> MaskOf:
    """Return where the masks of a data set come from.

    Args:
        spec: the data set as the grid writes it.
        root: folder of the data sets, where it is at hand.
        folder: of mask files ``<name of the image>.png``, grey levels for background, cytoplasm and nucleus;
            None: ``masks/`` beside the images of a bone-marrow set.
        size: edge of the packed images, pixels.
    """
    if isinstance(spec, Generated) and folder is None:
        return _generated_masks(spec)
    if folder is None and root is not None and isinstance(spec, BoneMarrow):
        folder = root / spec.path / "masks"
    if folder is None or not folder.is_dir():
        return no_masks
    return _Files(folder, size)


def fit(mask: CellMask, edge: int) -> CellMask:
    """Return a mask at another size, cut and scaled as images are, without values in between."""
    return np.asarray(ImageOps.fit(Image.fromarray(mask), (edge, edge), Image.Resampling.NEAREST))


def read_mask(content: bytes) -> CellMask:
    """Return the mask of a file: either its values as they are (0, 1, 2) or three grey levels (0, 128, 255)."""
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    return grey if grey.max() <= NUCLEUS else np.digitize(grey, (64, 192)).astype(np.uint8)


class _Files:
    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size

    def __call__(self, image_id: str) -> CellMask | None:
        file = self._folder / f"{Path(image_id).stem}.png"
        return fit(read_mask(file.read_bytes()), self._size) if file.is_file() else None


def _generated_masks(spec: Generated) -> MaskOf:
    listed = {m.image_id: m for m in generated.members(spec.generator, spec.images_per_class, spec.seed)}

    def mask(image_id: str) -> CellMask | None:
        return generated.picture(spec.generator, listed[image_id], spec.size, spec.seed)[1]

    return mask
