"""Images from outside the study: a folder, labelled by its sub-folders or unlabelled, in the classes of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.arrays import Pixels
from trainables.data.readers.folder_scan import IMAGE_ENDINGS
from trainables.errors import UserError, suggestion

Mapped = Mapping[str, str | None]
"""Name of a sub-folder -> name of a class, or None to leave its images out."""


@dataclass(frozen=True)
class FolderImage:
    """An image file.

    Attributes:
        image_id: path below the folder, with ``/``.
        path: full path.
        label: index into the study's classes, or None without a label.
    """

    image_id: str
    path: Path
    label: int | None


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder.

    Attributes:
        images: in the order of their paths.
        left_out: sub-folder -> number of its images, for those that the mapping leaves out.
        note: a remark on the labels for the user, or "".
    """

    images: tuple[FolderImage, ...]
    left_out: Mapping[str, int]
    note: str = ""

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return any(image.label is not None for image in self.images)


def image_files(folder: Path, option: str) -> list[Path]:
    """Return the image files of a folder and all folders below it, sorted; links are followed.

    Args:
        folder: the folder.
        option: of the command line that gave it, for the message.

    Raises:
        UserError: if it is no folder, or has no image file.
    """
    files = sorted(
        Path(here, name)
        for here, _, names in os.walk(folder, followlinks=True)
        for name in names
        if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS
    )
    if not files:
        what = f"none ends in {', '.join(sorted(IMAGE_ENDINGS))}" if folder.is_dir() else "it is no folder"
        raise UserError(f"{option} {folder}: no image files: {what}. Give a folder of images")
    return files


def read_square(file: Path, size: int | None) -> Pixels:
    """Decode an image file to a square, the way the study prepares its own images.

    Args:
        file: the image file.
        size: edge that the study packs its images at, pixels; None: the shorter side of this image.

    Returns:
        RGB uint8, shape (edge, edge, 3).

    Raises:
        OSError, ValueError: if it does not decode; decoders may raise other errors too.
    """
    from trainables.data.packing.decode import decode

    pixels = decode(file.read_bytes(), size)
    return decode(pixels, min(pixels.shape[:2]))


def read_mapping(file: Path) -> dict[str, str | None]:
    """Read a mapping file, YAML or JSON: name of a sub-folder -> name of a class, or null to leave it out.

    Raises:
        UserError: if it cannot be read or has another form.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the mapping {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(value is None or isinstance(value, str) for value in content.values()):
        raise UserError(f"the mapping {file} should hold lines such as 'their name: our class', or 'their name: null'")
    return {str(name): value for name, value in content.items()}


def read_folder(folder: Path, classes: Sequence[str], mapping: Mapped | None = None) -> FolderImages:
    """List the images of a folder with their labels: the name of the first sub-folder, or what the mapping makes of it.

    Args:
        folder: searched with all folders below it.
        classes: names of the study's classes.
        mapping: of sub-folders to classes.

    Raises:
        UserError: if there is no image, a sub-folder is no class, or the mapping names an unknown class.
    """
    names = {path: _sub_folder(path, folder) for path in image_files(folder, "--images")}
    found = {name for name in names.values() if name is not None}
    labels = _labels(folder, found, classes, mapping or {})
    if labels is None:
        note = (
            f"no sub-folder of {folder} is a class, so the images count as unlabelled; --mapping FILE would name them"
        )
        return FolderImages(tuple(_image(path, folder, None) for path in names), {}, note)
    left_out = {name: list(names.values()).count(name) for name in found if labels[name] is None}
    images = [
        _image(path, folder, None if name is None else labels[name])
        for path, name in names.items()
        if name is None or labels[name] is not None
    ]
    return FolderImages(tuple(images), left_out)


def _labels(folder: Path, found: set[str], classes: Sequence[str], mapping: Mapped) -> dict[str, int | None] | None:
    """Return sub-folder -> label, or None to leave it out; None if nothing is mapped and no sub-folder is a class."""
    number = {name: label for label, name in enumerate(classes)}
    faults = [
        f"the mapping says {theirs}: {ours}, and {ours} is no class{suggestion(ours, classes)}"
        for theirs, ours in mapping.items()
        if ours is not None and ours not in number
    ]
    unknown = sorted(name for name in found if name not in mapping and name not in number)
    if not mapping and len(unknown) == len(found):
        return None
    faults += [
        f"the sub-folder {name} of {folder} is no class{suggestion(name, classes) or '.'} Name its class, or null, in a --mapping file"
        for name in unknown
    ]
    if faults:
        raise UserError([*faults, f"the classes are {', '.join(classes)}"])
    target = {name: mapping.get(name, name) for name in found}
    return {name: None if ours is None else number[ours] for name, ours in target.items()}


def _image(path: Path, folder: Path, label: int | None) -> FolderImage:
    return FolderImage(path.relative_to(folder).as_posix(), path, label)


def _sub_folder(path: Path, folder: Path) -> str | None:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else None
