"""Where the pixels come from: the packed data set beside the study, the data themselves, or any folder."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from analysis.explain.checks.mask_overlap import MaskOf, masks_of
from analysis.results.plan_file import explain
from trainables.arrays import Pixels
from trainables.data.loading import augment
from trainables.data.packing.decode import decode, what_is_wrong
from trainables.data.packing.manifest import META, DamagedDataError
from trainables.data.packing.prepare import Packed, load, prepare
from trainables.data.readers.base import IMAGE_ENDINGS
from trainables.data.readers.builtin.generated import Generated
from trainables.data.readers.data_spec import DataSpec
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.storage import Storage, cache_folder
from trainables.store.study import Study

PixelsOf = Callable[[Sequence[str]], Pixels]
"""From image ids to pixels (n, size, size, 3), as the network was given them before scaling."""


@dataclass(frozen=True)
class PixelSource:
    """Images by id, and their masks where there are any."""

    pixels: PixelsOf
    mask: MaskOf


def of_study(study: Study, data: Path | None, masks: Path | None, fingerprint: str) -> PixelSource:
    """Return the images of a study's target set.

    Args:
        study: its ``grid.yaml`` says how the target is read.
        data: folder of the data sets, or None: then the packed form beside the study must be there.
        masks: folder of masks, or None.
        fingerprint: of the data that the stages were trained on.

    Raises:
        UserError: if the images are not at hand, or are others.
    """
    spec = _specification(study)
    studies = Storage(Path(study.storage.location).parent) if study.storage.is_local else study.storage
    cache = cache_folder(studies) / "data"
    try:
        packed = _packed(cache, fingerprint)
    except DamagedDataError:
        if data is None:
            raise
        packed = None
    if packed is None:
        packed = _prepared(study, spec, data, cache)
    if packed.fingerprint != fingerprint:
        raise UserError(
            f"the data in {data} are not those the study was made with: their fingerprint is {short_key(packed.fingerprint)}, "
            f"the study's {short_key(fingerprint)}. Give --data the folder that was given to sweep.run"
        )
    return PixelSource(_Rows(packed), masks_of(spec, data, masks, packed.size))


def of_folder(folder: Path, size: int | None) -> tuple[list[str], PixelsOf]:
    """Return the ids (paths below the folder) of all its images, and how to get them.

    Args:
        folder: searched with all that is below it.
        size: edge that the stage's images were cut to before scaling; None: each is cut to its shorter side.

    Raises:
        UserError: if there is no image.
    """
    found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMAGE_ENDINGS) if folder.is_dir() else []
    if not found:
        what = "it is no folder" if not folder.is_dir() else f"none of {', '.join(sorted(IMAGE_ENDINGS))} in it"
        raise UserError(f"no images to explain in {folder}: {what}. Give --images a folder of images")
    return [file.relative_to(folder).as_posix() for file in found], _Decoder(folder, size)


class _Rows:
    """Images of a packed set by id."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._row = {image_id: row for row, image_id in enumerate(packed.index.column("image_id").to_pylist())}

    def __call__(self, image_ids: Sequence[str]) -> Pixels:
        return self._packed.gather(np.array([self._row[image_id] for image_id in image_ids], dtype=np.int64))


class _Decoder:
    """Image files of a folder, as the project decodes them."""

    def __init__(self, folder: Path, size: int | None) -> None:
        self._folder = folder
        self._size = size

    def __call__(self, image_ids: Sequence[str]) -> Pixels:
        return np.stack([self._one(image_id) for image_id in image_ids])

    def _one(self, image_id: str) -> Pixels:
        from PIL import Image

        file = self._folder / image_id
        try:
            content = file.read_bytes()
            size = self._size or min(Image.open(io.BytesIO(content)).size)
            return decode(content, size)
        except Exception as error:  # decoders raise anything on a file from outside
            what = what_is_wrong(error)
            raise UserError(f"{file} cannot be read as an image: {what}. Take it out of the folder") from error


def scaled(pixels: Pixels, edge: int) -> Pixels:
    """Return images at the network's input size, as in evaluation: (n, edge, edge, 3)."""
    return augment.apply(pixels, augment.plain(len(pixels), pixels.shape[1], edge), edge)


def _packed(cache: Path, fingerprint: str) -> Packed | None:
    for meta in sorted(cache.glob(f"*/{META}")):
        try:
            packed = load(meta.parent)
        except (OSError, DamagedDataError):  # another version's, or under way
            continue
        if packed.fingerprint == fingerprint:
            return packed.verify()
    return None


def _prepared(study: Study, spec: DataSpec, data: Path | None, cache: Path) -> Packed:
    if data is None and not isinstance(spec, Generated):
        raise UserError(
            f"the images of {study.storage.path()} are not at hand: no prepared form of them in {cache}. Give --data the "
            "folder of the data sets, as for sweep.run"
        )
    return prepare(_grid(study)["target"], spec, data or cache, cache)


def _specification(study: Study) -> DataSpec:
    grid, adapter = _grid(study), TypeAdapter[DataSpec](DataSpec)
    try:
        return adapter.validate_python(grid["data"][grid["target"]])
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(
            f"{study.storage.path(layout.GRID)} does not say how the target is read: {explain(error)}"
        ) from error


def _grid(study: Study) -> dict[str, Any]:
    try:
        grid = yaml.safe_load(study.storage.read(layout.GRID))
    except FileNotFoundError as error:
        raise UserError(
            f"{study.storage.path(layout.GRID)} is missing: run the study's grid again, it is written anew"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{study.storage.path(layout.GRID)} is no YAML: {explain(error)}") from error
    return dict(grid) if isinstance(grid, dict) else {}
