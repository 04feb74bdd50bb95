"""Readers: which images a data set holds, of which class, group and part, and how to get their bytes.

A reader is a specification (what a grid writes under ``data:``) with one method, ``scan``. A new
kind of data set is one more class and its name in ``DataSpec``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, folder_of, image_names, stamp, what_is_there
from trainables.data.readers.manifest_table import table_rows
from trainables.data.readers.parquet import ParquetImages
from trainables.data.synthetic import generated
from trainables.errors import UserError


class BoneMarrow(DataSource):
    """The bone-marrow set: ``…/<CODE>/[0001-1000/]<CODE>_00001.jpg``. The label is the name's prefix.

    Glüge et al.'s target set (TCIA, DOI 10.7937/TCIA.AXH3-T579); its Kaggle mirror has the same tree.
    """

    origin: ClassVar[str] = "The Cancer Imaging Archive, DOI 10.7937/TCIA.AXH3-T579 (6.8 GB, CC BY 4.0)"
    reader: Literal["bone_marrow"]
    path: str = "bone_marrow"
    groups: str | None = Field(None, description="CSV below the path with columns path, group")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the layout is another."""
        folder = folder_of(root, self.path, self.origin)
        names = [name for name in image_names(folder) if _code(name) in name.split("/")[:-1]]
        if not names:
            raise UserError(
                f"no image named <CODE>_<number> below a folder <CODE> in {folder}; {what_is_there(folder)}. Expected …/BM_cytomorphology_data/<CODE>/[0001-1000/]<CODE>_00001.jpg"
            )
        groups = _read_groups(folder, self.groups)
        return _of_files(folder, names, _code, groups)


class CatsVsDogs(DataSource):
    """The Microsoft release of cats and dogs: ``PetImages/{Cat,Dog}/N.jpg``."""

    origin: ClassVar[str] = "https://www.microsoft.com/download/details.aspx?id=54765 (0.8 GB)"
    reader: Literal["cats_vs_dogs"]
    path: str = "cats_vs_dogs"

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the layout is another."""
        folder = folder_of(root, self.path, self.origin)
        names = image_names(folder)
        pets = {kind: [name for name in names if name.startswith(f"PetImages/{kind}/")] for kind in ("Cat", "Dog")}
        missing = [f"PetImages/{kind}" for kind, found in pets.items() if not found]
        if missing:
            raise UserError(f"no images in {' and '.join(missing)} in {folder}; {what_is_there(folder)}")
        return _of_files(folder, [*pets["Cat"], *pets["Dog"]], lambda name: name.split("/")[1], {})


class ImageFolder(DataSource):
    """One folder a class: ``<path>/<class>/**/image``."""

    reader: Literal["image_folder"]
    path: str
    groups: str | None = Field(None, description="CSV below the path with columns path, group")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where there is none in a class folder."""
        folder = folder_of(root, self.path, self.origin)
        names = [name for name in image_names(folder) if "/" in name]
        if not names:
            raise UserError(
                f"no image in a class folder of {folder}; {what_is_there(folder)}. Expected {folder}/<class>/image.jpg"
            )
        return _of_files(folder, names, lambda name: name.partition("/")[0], _read_groups(folder, self.groups))


class PCam(DataSource):
    """PatchCamelyon's HDF5 files, with its own train, valid and test parts.

    Keys ``x`` (N, 96, 96, 3 uint8) and ``y`` (N, 1, 1, 1).
    """

    origin: ClassVar[str] = "https://github.com/basveeling/pcam (7 GB, CC0; unpack the .gz files)"
    reader: Literal["pcam"]
    path: str = "pcam"

    def scan(self, root: Path) -> Listing:
        """List the patches. Raises UserError where a file is missing or of another shape."""
        folder = folder_of(root, self.path, self.origin)
        parts = {"train": "train", "valid": "val", "test": "test"}
        paths = {(p, a): folder / f"camelyonpatch_level_2_split_{p}_{a}.h5" for p in parts for a in "xy"}
        missing = [path.name for path in paths.values() if not path.is_file()]
        if missing:
            raise UserError(
                f"missing in {folder}: {', '.join(missing)}; {what_is_there(folder)}. To be had from {self.origin}"
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


class Manifest(DataSource):
    """A CSV or Parquet file with columns ``path``, ``label`` and, if wanted, ``group``."""

    reader: Literal["manifest"]
    path: str = Field(description="the manifest; its paths are relative to its own folder")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the file, a column or an image is missing."""
        file = root / self.path
        rows = table_rows(file)
        absent = [row["path"] for row in rows if not (file.parent / row["path"]).is_file()]
        if absent:
            raise UserError(f"{file} names {len(absent)} images that are not in {file.parent}, the first: {absent[0]}")
        items = [
            ImageEntry(row["path"], row["label"], row.get("group") or None, None, stamp(file.parent / row["path"]))
            for row in rows
        ]
        return Listing(items, lambda i: (file.parent / items[i].image_id).read_bytes())


class Generated(DataSource):
    """Images that the project makes itself, so that a study runs with no data and no download."""

    reader: Literal["generated"]
    generator: Literal["blood_cells", "tissue_patches", "scenes"]
    images_per_class: int = Field(60, ge=1)
    size: int = Field(64, ge=32, description="edge of the images made, pixels")
    seed: int = Field(0, ge=0)

    def scan(self, root: Path) -> Listing:
        """List the images; each is drawn when it is loaded."""
        members = generated.members(self.generator, self.images_per_class, self.seed)
        stamp = str(generated.GENERATOR_VERSION)
        items = [ImageEntry(member.image_id, member.kind, member.group, None, stamp) for member in members]
        return Listing(items, lambda i: generated.picture(self.generator, members[i], self.size, self.seed)[0])


DataSpec = Annotated[
    BoneMarrow | CatsVsDogs | ImageFolder | PCam | Manifest | ParquetImages | Generated, Field(discriminator="reader")
]


def _code(name: str) -> str:
    return name.rpartition("/")[2].split("_")[0]


def _of_files(folder: Path, names: Sequence[str], label: Callable[[str], str], groups: dict[str, str]) -> Listing:
    _check_groups(folder, names, groups)
    items = [ImageEntry(name, label(name), groups.get(name), None, stamp(f"{folder}/{name}")) for name in names]
    return Listing(items, lambda i: (folder / names[i]).read_bytes())


def _check_groups(folder: Path, names: Sequence[str], groups: dict[str, str]) -> None:
    without = [name for name in names if name not in groups]
    if groups and without:
        raise UserError(
            f"the groups file of {folder} names no group for {len(without)} of {len(names)} images, the first: {without[0]}"
        )


def _read_groups(folder: Path, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    rows = table_rows(folder / name, needed=("path", "group"))
    return {row["path"]: row["group"] for row in rows}


def _hdf5(file: Path, key: str) -> Any:
    import h5py

    try:
        return h5py.File(file, "r")[key]
    except (OSError, KeyError) as error:
        raise UserError(f"{file} is no HDF5 file with the key {key}: {error}. Download or unpack it again") from error
