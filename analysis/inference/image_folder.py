"""Any folder of images, labelled by its sub-folders or not, with its labels in the classes of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import UserError, suggestion

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


@dataclass(frozen=True)
class FolderImage:
    """One image.

    Attributes:
        image_id: path below the folder, with ``/``.
        label: index into the study's classes, or None where it has none.
    """

    image_id: str
    path: Path
    label: int | None


@dataclass(frozen=True)
class UnlabelledImages:
    """The images of a folder.

    Attributes:
        left_out: sub-folder -> number of its images, of those that the mapping leaves out.
        note: what a reader should know about the labels, or "".
    """

    images: tuple[FolderImage, ...]
    left_out: Mapping[str, int]
    note: str = ""

    @property
    def labelled(self) -> bool:
        """Whether any image has a label."""
        return any(image.label is not None for image in self.images)


def read_mapping(file: Path) -> dict[str, str | None]:
    """Read a mapping file, YAML or JSON: name of a sub-folder -> name of a class, or null to leave it out.

    Raises:
        UserError: if it is absent or no such mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"the mapping {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(value is None or isinstance(value, str) for value in content.values()):
        raise UserError(f"the mapping {file} should hold lines such as 'their name: our class', or 'their name: null'")
    return {str(name): value for name, value in content.items()}


def read_folder(
    folder: Path, classes: Sequence[str], mapping: Mapping[str, str | None] | None = None
) -> UnlabelledImages:
    """List the images of a folder; the first sub-folder is the label, by its own name or by the mapping.

    Raises:
        UserError: if there is no image, a sub-folder is no class, or the mapping names a class there is not.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    files = sorted(_walk(folder))
    if not files:
        raise UserError(f"no image in {folder}: looked for names that end in {', '.join(sorted(ENDINGS))}")
    names = {path: _sub_folder(path, folder) for path in files}
    found = {name for name in names.values() if name is not None}
    resolved = _resolve(folder, found, classes, mapping or {})
    if resolved is None:
        note = (
            f"no sub-folder of {folder} is a class, so the images count as unlabelled; --mapping FILE would name them"
        )
        return UnlabelledImages(tuple(_image(path, folder, None) for path in files), {}, note)
    left_out = {name: list(names.values()).count(name) for name in found if resolved[name] is None}
    images = [
        _image(path, folder, None if name is None else resolved[name])
        for path, name in names.items()
        if name is None or resolved[name] is not None
    ]
    return UnlabelledImages(tuple(images), left_out)


def _resolve(
    folder: Path, found: set[str], classes: Sequence[str], mapping: Mapping[str, str | None]
) -> dict[str, int | None] | None:
    """Return sub-folder -> class or None (left out); None where no sub-folder is a class and none was mapped."""
    place = {name: number for number, name in enumerate(classes)}
    faults = [
        f"the mapping says {theirs}: {ours}, and {ours} is no class{suggestion(ours, classes)}"
        for theirs, ours in mapping.items()
        if ours is not None and ours not in place
    ]
    unknown = sorted(name for name in found if name not in mapping and name not in place)
    if not mapping and len(unknown) == len(found):
        return None
    faults += [
        f"the sub-folder {name} of {folder} is no class{suggestion(name, classes) or '.'} Name its class, or null, in a --mapping file"
        for name in unknown
    ]
    if faults:
        raise UserError([*faults, f"the classes are {', '.join(classes)}"])
    target = {name: mapping.get(name, name) for name in found}
    return {name: None if ours is None else place[ours] for name, ours in target.items()}


def _image(path: Path, folder: Path, label: int | None) -> FolderImage:
    return FolderImage(path.relative_to(folder).as_posix(), path, label)


def _sub_folder(path: Path, folder: Path) -> str | None:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else None


def _walk(folder: Path) -> list[Path]:
    return [
        Path(here, name)
        for here, _, names in os.walk(folder, followlinks=True)
        for name in names
        if os.path.splitext(name)[1].lower() in ENDINGS
    ]
