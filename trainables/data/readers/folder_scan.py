"""The image files below a folder: which are read, and what is skipped and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.data.readers.file_access import stamp
from trainables.errors import UserError

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
OTHER_IMAGES = frozenset(
    [
        ".jfif",
        ".jpe",
        ".jp2",
        ".j2k",
        ".jxl",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".gif",
        ".avif",
        ".heic",
        ".heif",
        ".tga",
        ".svs",
        ".ndpi",
        ".czi",
        ".dcm",
        ".dng",
        ".cr2",
        ".nef",
        ".psd",
        ".svg",
        ".eps",
        ".ico",
        ".exr",
        ".hdr",
        ".qoi",
        ".npy",
        ".mrxs",
        ".vsi",
        ".lif",
        ".nd2",
    ]
)
"""Endings of image formats that are not read: said, so that nobody misses half of a set."""
SERVICE_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
"""Folders that operating systems and storage boxes make for themselves, with copies or thumbnails of the images in them."""


@dataclass(frozen=True)
class FolderScan:
    """What a folder holds.

    Attributes:
        names: of the images, sorted, as paths from the folder with ``/``.
        notes: what was skipped, a sentence for each kind.
    """

    names: list[str]
    notes: tuple[str, ...]


def scan_folder(folder: Path, tidy: bool) -> FolderScan:
    """Return all images below a folder. Links are followed, but not in a circle.

    Plain strings: with a ``Path`` for each, 171,374 names took 4 s at every plan.

    Args:
        folder: of the data set.
        tidy: leave out hidden files and folders, and those that systems make for themselves.

    Raises:
        UserError: if a name is no UTF-8: no table could hold it.
    """
    names, skipped, endings = list[str](), dict[str, list[str]](), tuple(IMAGE_ENDINGS)
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(here, name)]
        base = os.path.relpath(here, folder).replace(os.sep, "/") + "/" if here != str(folder) else ""
        if tidy:
            for name in [name for name in folders if _is_service(name)]:
                folders.remove(name)
                inside = sum(1 for file in _all_files(os.path.join(here, name)) if file.lower().endswith(endings))
                if inside:
                    skipped.setdefault("in hidden or service folders", []).extend([f"{base}{name}/"] * inside)
        for name in files:
            if not name[1:].lower().endswith(endings):  # .jpg alone is a hidden file
                ending = os.path.splitext(name)[1].lower()
                if ending in OTHER_IMAGES and not name.startswith("."):
                    skipped.setdefault("of formats that are not read", []).append(base + name)
            elif tidy and name.startswith("."):
                skipped.setdefault("hidden (their names begin with a dot)", []).append(base + name)
            else:
                names.append(base + name)
    foreign = [name for name in names if not name.isprintable() and _is_foreign(name)]
    if foreign:
        raise UserError(
            f"{folder} holds {len(foreign)} names that are no UTF-8, the first: {foreign[0]!a}. Rename them"
        )
    return FolderScan(sorted(names), tuple(_sentence(kind, sorted(found)) for kind, found in skipped.items()))


def without_devices(folder: Path, names: list[str]) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Return the names of regular files, their stamps, and a note on the others: pipes, sockets, devices.

    Args:
        folder: of the data set.
        names: as paths from it.
    """
    stamps = [stamp(f"{folder}/{name}") for name in names]
    others = [name for name, one in zip(names, stamps, strict=True) if not one]
    if not others:
        return names, stamps, ()
    regular = [name for name, one in zip(names, stamps, strict=True) if one]
    return regular, [one for one in stamps if one], (_sentence("that are no regular files", others),)


def _sentence(kind: str, found: list[str]) -> str:
    endings = Counter(os.path.splitext(name)[1].lower() for name in found)
    which = ""
    if kind == "of formats that are not read":
        listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(12))
        which = f" ({listed}; read are {', '.join(sorted(IMAGE_ENDINGS))})"
    examples = list(dict.fromkeys(found))[:3]
    return f"skipped: {len(found):,} files {kind}{which}, e.g. {', '.join(examples)}"


def _is_service(name: str) -> bool:
    return name.startswith(".") or name in SERVICE_FOLDERS


def _all_files(folder: str) -> Iterator[str]:
    for _, _, files in os.walk(folder):
        yield from files


def _is_foreign(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _leads_back(here: str, name: str) -> bool:
    """Whether a folder is a link to one that it lies in."""
    path = Path(here, name)
    return path.is_symlink() and Path(os.path.realpath(here)).is_relative_to(os.path.realpath(path))
