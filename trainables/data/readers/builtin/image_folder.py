"""A folder for each class."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, describe_folder, folder_of, readers
from trainables.data.readers.folder_scan import IMAGE_ENDINGS, scan_folder
from trainables.data.readers.image_files import group_table, list_files
from trainables.errors import UserError

PARTS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""Usual names of the folders of parts -> the part."""


@readers.register("image_folder")
class ImageFolder(DataSource):
    """One folder a class: ``<path>/<class>/**/image``; with ``parts``, ``<path>/<part>/<class>/**/image``."""

    path: str
    groups: str | None = Field(None, description="CSV below the path with columns path, group")
    parts: bool = Field(
        False, description="the folders on top are train, val and test, with a folder for each class in them"
    )

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where there is none in a class folder."""
        folder = folder_of(root, self.path, self.origin)
        found = scan_folder(folder, self.tidy)
        depth = 2 if self.parts else 1
        names = [name for name in found.names if name.count("/") >= depth]
        if not names:
            expected = f"{folder}/{'train/' if self.parts else ''}<class>/image.jpg"
            raise UserError(
                f"no image in a class folder of {folder}; {describe_folder(folder)}{_skipped(found.notes)}. Expected "
                f"{expected}, with one of the endings {', '.join(sorted(IMAGE_ENDINGS))}"
            )
        notes = found.notes
        if self.tidy and len(names) < len(found.names):
            aside = sorted(set(found.names) - set(names))
            notes = (*notes, f"skipped: {len(aside):,} files in no class folder, e.g. {aside[0]}")
        tops = {name.partition("/")[0] for name in names}
        if self.parts:
            self._refuse_other_parts(folder, tops)
        elif self.tidy:
            self._refuse_parts_as_classes(folder, tops, names)
        groups = group_table(folder, self.groups, self.tidy)
        listing = list_files(folder, names, lambda name: name.split("/")[depth - 1], groups, notes)
        if not self.parts:
            return listing
        parts = [PARTS[item.image_id.partition("/")[0].lower()] for item in listing.items]
        items = [
            ImageEntry(item.image_id, item.label, item.group, part, item.stamp)
            for item, part in zip(listing.items, parts, strict=True)
        ]
        return Listing(items, listing.load, listing.notes)

    def _refuse_other_parts(self, folder: Path, tops: set[str]) -> None:
        other = sorted(top for top in tops if top.lower() not in PARTS)
        if other:
            raise UserError(
                f"{folder} is said to have parts, but holds the folder {', '.join(other[:5])}. A part is one of {', '.join(PARTS)}"
            )

    def _refuse_parts_as_classes(self, folder: Path, tops: set[str], names: list[str]) -> None:
        """Refuse a set whose only classes would be train, val and test, each with folders in it."""
        if len(tops) > 1 and all(top.lower() in PARTS for top in tops) and all(name.count("/") > 1 for name in names):
            below = sorted({name.split("/")[1] for name in names})
            raise UserError(
                f"the folders of {folder} are parts, no classes: {', '.join(sorted(tops))}, with {', '.join(below[:6])} in each. "
                f"Write `parts: true` to take them as one set with these classes (its folds are drawn anew; as a pre-training "
                f"set it keeps train and val), `path: {self.path}/{min(tops)}` for one of them, or `tidy: false` if they are classes"
            )


def _skipped(notes: tuple[str, ...]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""
