"""What every reader is: it lists the images of a data set, with class, group and part, and gives their bytes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator

from trainables.arrays import Pixels
from trainables.data.readers.file_access import stamp
from trainables.data.readers.pixel_rules import DepthRule, PixelRules, parse_colour
from trainables.data.readers.text_rules import tidy_texts
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen
from trainables.registry import Registry

__all__ = ["READING", "DataSource", "ImageEntry", "Listing", "describe_folder", "folder_of", "readers", "stamp"]

READING = ("orientation", "background", "depth", "keep", "tidy", "duplicates", "exclude_target")
"""Fields of every data set that say how it is read. None is hashed by itself: what they do to an image stands in its row of
the fingerprint, what they leave out is not there, and what they hold together stands in the split."""


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
    notes: tuple[str, ...] = ()
    """What was skipped or changed while listing, a sentence for each kind."""


class DataSource(Frozen, ABC):
    """A data set as a grid writes it under ``data:``. A reader is a subclass; its fields are its options there."""

    origin: ClassVar[str] = ""
    """Where a published set is to be had."""

    size: int | None = Field(
        None,
        ge=16,
        le=8192,
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
    orientation: Literal["stored", "upright"] = Field(
        "stored", description="upright: images are turned as their EXIF orientation says, as viewers show them"
    )
    background: str | None = Field(
        None,
        description="colour below transparent pixels: white, black, grey or #rrggbb; None: the colours hidden there appear",
    )
    depth: DepthRule = Field(
        "clip",
        description="of images of one channel and more than 8 bits; scale: the range of the type (16 bits: 0 to 65535; float: "
        "0 to 1) becomes 0 to 255; [low, high]: this range does; clip: all above 255 is white",
    )
    keep: tuple[Literal["damaged", "contradicting"], ...] = Field(
        ("damaged", "contradicting"),
        description="images that are used although their JPEG data are incomplete (damaged), or the same pixels carry "
        "another label elsewhere in the set (contradicting)",
    )
    tidy: bool = Field(
        False,
        description="skip hidden files and those of operating systems; strip labels and groups; refuse missing labels, rows "
        "longer or shorter than the header, and train, val, test as class folders",
    )
    duplicates: Literal["bytes", "pixels"] = Field(
        "bytes",
        description="what stays together in the split: images of identical bytes; or also those of identical pixels, "
        "re-encoded, flipped or turned",
    )
    exclude_target: bool = Field(
        False, description="of a pre-training set: leave out the images that the target has too, instead of a refusal"
    )

    @field_validator("background")
    @classmethod
    def _is_colour(cls, given: str | None) -> str | None:
        if given is not None:
            parse_colour(given)
        return given

    @field_validator("depth")
    @classmethod
    def _is_range(cls, given: DepthRule) -> DepthRule:
        if not isinstance(given, str) and given[0] >= given[1]:
            raise ValueError(f"the range [{given[0]:g}, {given[1]:g}] does not rise")
        return given

    @property
    def pixel_rules(self) -> PixelRules:
        """The rules that change pixels."""
        background = None if self.background is None else parse_colour(self.background)
        return PixelRules(self.orientation == "upright", background, self.depth, "damaged" not in self.keep)

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
        whole = self._tidied(self.scan(root))
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
        return Listing([whole.items[i] for i in kept], lambda i: whole.load(kept[i]), whole.notes)

    def _tidied(self, whole: Listing) -> Listing:
        """Return a listing with labels and groups in one form, and the notes on what that changed."""
        if not self.tidy:
            return whole
        labels, of_labels = tidy_texts("label", [item.label for item in whole.items])
        groups, of_groups = tidy_texts("group", [item.group for item in whole.items])
        items = [
            item
            if (item.label, item.group) == (label, group)
            else ImageEntry(item.image_id, label or "", group, item.part, item.stamp)
            for item, label, group in zip(whole.items, labels, groups, strict=True)
        ]
        unnamed = next((item.image_id for item in items if not item.label), None)
        if unnamed is not None:
            raise UserError(
                f"{unnamed} has no label: it is empty, or a missing value (NaN). Give it one, or take it out"
            )
        return Listing(items, whole.load, (*whole.notes, *of_labels, *of_groups))


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


def describe_folder(folder: Path) -> str:
    """Return what a folder holds, for a message about what it does not hold."""
    if not folder.is_dir():
        return f"{folder} is no folder"
    names = sorted(path.name for path in folder.iterdir())
    return f"{folder} holds {', '.join(names[:8]) + (' …' if len(names) > 8 else '') if names else 'nothing'}"
