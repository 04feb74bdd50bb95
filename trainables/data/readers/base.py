"""What every reader is: it lists the images of a data set, with class, group and part, and gives their bytes."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import Field

from trainables.arrays import Pixels
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen
from trainables.registry import Registry

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})


class ImageEntry(NamedTuple):
    """One image as a reader found it, not yet read. A tuple, because a plan makes hundreds of thousands.

    Attributes:
        image_id: the path below the data set's root with ``/``, or e.g. ``train/123`` inside an HDF5 file.
        part: ``train``, ``val`` or ``test`` where the data set itself says so.
        stamp: what changes when the file changes (size and time), for the cache.
    """

    image_id: str
    label: str
    group: str | None = None
    part: str | None = None
    stamp: str = ""


@dataclass(frozen=True)
class Listing:
    """All images of a data set, in a fixed order, and how to load each: encoded bytes or pixels."""

    items: Sequence[ImageEntry]
    load: Callable[[int], bytes | Pixels] = field(repr=False)


class DataSource(Frozen, ABC):
    """A data set as a grid writes it under ``data:``. A reader is a subclass; its fields are its options there."""

    origin: ClassVar[str] = ""
    """Where a published set is to be had."""

    size: int | None = Field(
        None,
        ge=16,
        description="edge of the packed square, pixels: shorter side scaled to it, centre cut out; None: as they are",
    )
    max_undecodable: float = Field(
        0.01, ge=0, le=1, description="share of broken images above which the set is refused"
    )
    leave_out: tuple[str, ...] = Field((), description="classes that are not used")

    at_most: int | None = Field(
        None, ge=1, description="images of each class (and given part) that are used, chosen by their names: for trials"
    )
    reader: str = Field(description="name of the reader: an entry of trainables/data/readers/builtin")

    @abstractmethod
    def scan(self, root: Path) -> Listing:
        """List all images of the set.

        Args:
            root: folder of the data sets, ``--data``.

        Raises:
            UserError: if the set is absent or of another layout.
        """

    def listing(self, root: Path) -> Listing:
        """List the images that are used.

        Args:
            root: folder of the data sets, ``--data``.

        Raises:
            UserError: as ``scan`` does, or if a class to leave out is not there.
        """
        whole = self.scan(root)
        found = {item.label for item in whole.items}
        unknown = [f"{name}{suggestion(name, found)}" for name in self.leave_out if name not in found]
        if unknown:
            raise UserError(
                f"leave_out names a class that is not there: {', '.join(unknown)}. Classes: {', '.join(sorted(found))}"
            )
        if not self.leave_out and self.at_most is None:
            return whole
        kept = [i for i, item in enumerate(whole.items) if item.label not in self.leave_out]
        if not kept:
            raise UserError("leave_out names every class: no image is left")
        if self.at_most is not None:
            kept = _sample([whole.items[i] for i in kept], kept, self.at_most)
        return Listing([whole.items[i] for i in kept], lambda i: whole.load(kept[i]))


readers: Registry[type[DataSource]] = Registry("reader", "readers", "trainables.data.readers.builtin", DataSource)


def _sample(items: Sequence[ImageEntry], places: Sequence[int], most: int) -> list[int]:
    """Keep some images of each class and part: those whose ids have the smallest hashes, so that a sample is stable.

    Args:
        items: the images.
        places: of each, its place in the whole listing.
        most: how many of each class and part.

    Returns:
        places that are kept, ascending.
    """
    by_hash = sorted(range(len(items)), key=lambda i: hashlib.sha256(items[i].image_id.encode()).digest())
    taken: Counter[tuple[str, str | None]] = Counter()
    kept = []
    for i in by_hash:
        of = (items[i].label, items[i].part)
        taken[of] += 1
        if taken[of] <= most:
            kept.append(places[i])
    return sorted(kept)


def folder_of(root: Path, path: str, origin: str = "") -> Path:
    """Return the folder of a data set.

    Args:
        root: folder of the data sets.
        path: of this one, below it.
        origin: where it is to be had.

    Raises:
        UserError: if there is none: with what is there, and where to get it.
    """
    folder = root / path
    if not folder.is_dir():
        hint = f" To be had from {origin}" if origin else ""
        raise UserError(
            f"no folder {folder}; {describe_folder(root)}. Give --data the folder that holds {path}/.{hint}"
        )
    return folder


def image_names(folder: Path) -> list[str]:
    """Return all images below a folder, as sorted paths from it with ``/``. Links are followed, but not in a circle.

    Plain strings: with a ``Path`` for each, 171,374 names took 4 s at every plan.

    Raises:
        UserError: if a name is no UTF-8: no table could hold it.
    """
    names, endings = list[str](), tuple(IMAGE_ENDINGS)
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(here, name)]
        base = os.path.relpath(here, folder).replace(os.sep, "/") + "/" if here != str(folder) else ""
        names += [base + name for name in files if name[1:].lower().endswith(endings)]  # .jpg alone is a hidden file
    foreign = [name for name in names if not name.isprintable() and _is_foreign(name)]
    if foreign:
        raise UserError(
            f"{folder} holds {len(foreign)} names that are no UTF-8, the first: {foreign[0]!a}. Rename them"
        )
    return sorted(names)


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


def stamp(file: Path | str) -> str:
    """Return what changes when a file changes."""
    status = os.stat(file)  # noqa: PTH116 - see image_names
    return f"{status.st_size}:{status.st_mtime_ns}"


def describe_folder(folder: Path) -> str:
    """Return what a folder holds, for a message about what it does not hold."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    names = sorted(path.name for path in folder.iterdir())
    return f"{folder} holds {', '.join(names[:8]) + (' …' if len(names) > 8 else '') if names else 'nothing'}"
