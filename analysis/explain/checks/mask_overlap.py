"""How much of a map's heat lies in the cell and in its nucleus, where masks exist."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from analysis.explain.checks.check_input import CellMask, CheckInput
from analysis.explain.checks.registry import CHECKS, Values, explanation_check
from analysis.explain.methods.heat_maps import HeatMaps, centred_gaussian, enlarge
from analysis.explain.records.records import (
    ALL_RANDOM,
    GAUSSIAN,
    GRADCAM,
    IN_CELL,
    IN_NUCLEUS,
    MEANING,
    UNIFORM,
    UNTRAINED,
    Measurement,
)
from trainables.data.readers.builtin.bone_marrow import BoneMarrow
from trainables.data.readers.builtin.generated import Generated
from trainables.data.readers.data_spec import DataSpec
from trainables.data.synthetic import generated

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
MaskOf = Callable[[str], CellMask | None]
"""From an image id to its mask, square; None where there is none."""


@CHECKS.register("mask overlap")
@explanation_check({name: MEANING[name] for name in (IN_CELL, IN_NUCLEUS)}, place=30)
def mask_overlap(given: CheckInput) -> Values:
    """Yield both shares for each map of an image with a mask, and for maps that do not depend on training."""
    for i, mask in enumerate(given.masks):
        if mask is None:
            continue
        for name, heat in _maps(given, i):
            for check, share in heat_shares(heat, mask).items():
                yield i, Measurement(check=check, map=name, value=share)


def heat_shares(heat: HeatMaps, mask: CellMask) -> dict[str, float | None]:
    """Return the fractions of heat in the cell and in the nucleus, by name of the check.

    Args:
        heat: shape (edge, edge).
        mask: of the same shape.

    Returns:
        a fraction is None where it is undefined: no heat at all, or no such region in the mask.
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
    """Return the source of the masks of a data set.

    Args:
        spec: declaration of the data set in the grid.
        root: folder of the data sets, or None.
        folder: folder of mask files ``<name of the image>.png``, grey levels for background, cytoplasm and nucleus;
            None: ``masks/`` beside the images of a bone-marrow set.
        size: edge of the packed images, pixels.
    """
    if isinstance(spec, Generated) and folder is None:
        return _generated_masks(spec)
    if folder is None and root is not None and isinstance(spec, BoneMarrow):
        folder = root / spec.path / "masks"
    if folder is None or not folder.is_dir():
        return no_masks
    return _file_masks(folder, size)


def fit(mask: CellMask, edge: int) -> CellMask:
    """Crop and scale a mask as images are, without interpolation.

    Args:
        mask: shape (height, width).
        edge: of the result, pixels.
    """
    return np.asarray(ImageOps.fit(Image.fromarray(mask), (edge, edge), Image.Resampling.NEAREST))


def read_mask(content: bytes) -> CellMask:
    """Return the mask of a file that holds either the values 0, 1, 2 or the grey levels 0, 128, 255."""
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    return grey if grey.max() <= NUCLEUS else np.digitize(grey, (64, 192)).astype(np.uint8)


def _maps(given: CheckInput, i: int) -> Iterator[tuple[str, HeatMaps]]:
    edge = given.model.edge
    yield from ((method, maps[i]) for method, maps in given.heat.items())
    yield UNIFORM, np.ones((edge, edge), np.float32)
    yield GAUSSIAN, centred_gaussian(edge)
    if given.steps:
        yield UNTRAINED, enlarge(given.randomised_maps(ALL_RANDOM)[GRADCAM][i : i + 1], edge)[0]


def _file_masks(folder: Path, size: int) -> MaskOf:
    def mask(image_id: str) -> CellMask | None:
        file = folder / f"{Path(image_id).stem}.png"
        return fit(read_mask(file.read_bytes()), size) if file.is_file() else None

    return mask


def _generated_masks(spec: Generated) -> MaskOf:
    members = {one.image_id: one for one in generated.members(spec.generator, spec.images_per_class, spec.seed)}

    def mask(image_id: str) -> CellMask | None:
        return generated.picture(spec.generator, members[image_id], spec.size, spec.seed)[1]

    return mask
