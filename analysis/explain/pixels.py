"""The pixels to explain: of the packed data set beside the study, of the data themselves, or of any folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from analysis.explain.checks.mask_overlap import MaskOf, masks_of, no_masks
from analysis.inference.image_folder import image_files, read_square
from analysis.results.grid_file import read_grid
from analysis.results.plan_file import one_line
from trainables.arrays import Pixels
from trainables.data.loading import augment
from trainables.data.packing.decode import what_is_wrong
from trainables.data.packing.manifest import META, DamagedDataError
from trainables.data.packing.prepare import Packed, load, prepare
from trainables.data.readers.base import readers
from trainables.data.readers.builtin.generated import Generated
from trainables.data.readers.data_spec import DataSpec
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.storage import Storage, cache_folder
from trainables.store.study import Study

PixelsOf = Callable[[Sequence[str]], Pixels]
"""From image ids to pixels (n, size, size, 3), before scaling to the network's input."""


@dataclass(frozen=True)
class PixelSource:
    """Images and masks by image id."""

    pixels: PixelsOf
    mask: MaskOf


def of_study(
    study: Study, data: Path | None, masks: Path | None, fingerprint: str, allow_code: bool = False
) -> PixelSource:
    """Return the images of a study's target set.

    Args:
        study: its ``grid.yaml`` declares how the target is read.
        data: folder of the data sets; None: the packed images beside the study are needed.
        masks: folder of masks, or None.
        fingerprint: of the data that the stages were trained on.
        allow_code: whether the study may choose a reader of another distribution, and paths outside of ``data``.

    Raises:
        UserError: if the images are missing, or their fingerprint differs.
    """
    name, spec = _target(study, allow_code)
    studies = Storage(Path(study.storage.location).parent) if study.storage.is_local else study.storage
    cache = cache_folder(studies) / "data"
    try:
        packed = _find_packed(cache, fingerprint)
    except DamagedDataError:
        if data is None:
            raise
        packed = None
    if packed is None:
        if data is None and not isinstance(spec, Generated):
            raise UserError(
                f"the images of {study.storage.path()} are not available: no packed form of them in {cache}. Give --data the "
                "folder of the data sets, as for sweep.run"
            )
        packed = prepare(name, spec, data or cache, cache)
    if packed.fingerprint != fingerprint:
        raise UserError(
            f"the data in {data} are not those the study was made with: their fingerprint is {short_key(packed.fingerprint)}, "
            f"the study's {short_key(fingerprint)}. Give --data the folder that was given to sweep.run"
        )
    return PixelSource(_packed_pixels(packed), masks_of(spec, data, masks, packed.size))


def of_folder(folder: Path, size: int | None) -> tuple[list[str], PixelSource]:
    """Return the ids (paths below the folder) of all its images, and their pixels.

    Args:
        folder: searched with all folders below it.
        size: edge that the study packs its images at; None: the shorter side of each image.

    Raises:
        UserError: if there is no image; later, if one cannot be decoded.
    """

    def one(image_id: str) -> Pixels:
        file = folder / image_id
        try:
            return read_square(file, size)
        except Exception as error:  # decoders may raise anything on a foreign file
            what = what_is_wrong(error)
            raise UserError(f"{file} cannot be read as an image: {what}. Take it out of the folder") from error

    ids = [file.relative_to(folder).as_posix() for file in image_files(folder, "--images")]
    return ids, PixelSource(lambda image_ids: np.stack([one(image_id) for image_id in image_ids]), no_masks)


def scaled(pixels: Pixels, edge: int) -> Pixels:
    """Scale images to the network's input size, as in evaluation.

    Args:
        pixels: shape (n, size, size, 3).
        edge: of the result, pixels.
    """
    return augment.apply(pixels, augment.plain(len(pixels), pixels.shape[1], edge), edge)


def _packed_pixels(packed: Packed) -> PixelsOf:
    row = {image_id: number for number, image_id in enumerate(packed.index.column("image_id").to_pylist())}
    return lambda image_ids: packed.gather(np.array([row[image_id] for image_id in image_ids], dtype=np.int64))


def _find_packed(cache: Path, fingerprint: str) -> Packed | None:
    for meta in sorted(cache.glob(f"*/{META}")):
        try:
            packed = load(meta.parent)
        except (OSError, DamagedDataError):  # of another version, or not finished
            continue
        if packed.fingerprint == fingerprint:
            return packed.verify()
    return None


def _target(study: Study, allow_code: bool) -> tuple[str, DataSpec]:
    """Return name and declaration of the study's target set."""
    grid, adapter = read_grid(study), TypeAdapter[DataSpec](DataSpec)
    if grid.fault is not None:
        raise UserError(f"{grid.fault}. Run the study's grid again: it rewrites the file")
    declared = grid.data.get(grid.target)
    found = None if allow_code or not declared else _what_is_foreign(grid.target, declared)
    if found is not None:
        raise UserError(
            f"{study.storage.path(layout.GRID)} names {found}. Nothing was read. If you trust whoever made the study, add "
            "--allow-code"
        )
    try:
        return grid.target, adapter.validate_python(grid.data[grid.target])
    except (KeyError, ValidationError) as error:
        raise UserError(
            f"{study.storage.path(layout.GRID)} does not say how the target is read: {one_line(error)}"
        ) from error


def _what_is_foreign(name: str, declared: Mapping[str, Any]) -> str | None:
    """Return what of a data set would run code of another distribution or lead out of the folder of data, in words."""
    reader = declared.get("reader")
    if reader not in readers.own():
        return f"the reader {str(reader)[:200]!r}, which is not the project's own: its code would run"
    for field, value in [("name", name), *declared.items()]:
        texts = value if isinstance(value, list | tuple) else [value]
        for text in texts:
            if isinstance(text, str) and (PurePath(text).is_absolute() or ".." in PurePath(text).parts):
                return f"{field} {text[:200]!r} for its target, which leads out of the folder of the data sets"
    return None
