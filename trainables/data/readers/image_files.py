"""Listings of image files below a folder, and the tables of their groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainables.data.readers.base import ImageEntry, Listing
from trainables.data.readers.file_access import read_file
from trainables.data.readers.folder_scan import without_devices
from trainables.data.readers.manifest_table import table_rows
from trainables.data.readers.text_rules import one_form
from trainables.errors import UserError


def list_files(
    folder: Path,
    names: Sequence[str],
    label: Callable[[str], str],
    groups: Mapping[str, str | None],
    notes: tuple[str, ...] = (),
) -> Listing:
    """Return the listing of image files.

    Args:
        folder: of the data set.
        names: of the files, as paths below the folder with ``/``.
        label: gives the class of a file from its name.
        groups: of each name, None: it is its own; empty where none are known.
        notes: on what was skipped.

    Raises:
        UserError: if there are groups, but not of every image.
    """
    without = [name for name in names if name not in groups]
    if groups and without:
        raise UserError(
            f"the groups file of {folder} names no group for {len(without)} of {len(names)} images, the first: {without[0]}"
        )
    regular, stamps, skipped = without_devices(folder, list(names))
    items = [
        ImageEntry(name, label(name), groups.get(name), None, one) for name, one in zip(regular, stamps, strict=True)
    ]
    return Listing(items, lambda i: read_file(folder / regular[i]), (*notes, *skipped))


def group_table(folder: Path, name: str | None, tidy: bool) -> dict[str, str | None]:
    """Return the group of each image, by its path below the folder.

    Args:
        folder: of the data set.
        name: of the table in it, with columns ``path`` and ``group``; None: no groups are known.
        tidy: the table's rows must be whole; a missing group makes an image its own.

    Raises:
        UserError: if the table, a column or a value is missing, or two rows give one image two groups.
    """
    if name is None:
        return {}
    rows = table_rows(folder / name, ("path",) if tidy else ("path", "group"), ("path", "group"), tidy)
    if not tidy:
        return {row["path"]: row["group"] for row in rows}
    groups: dict[str, str | None] = {}
    for row in rows:
        group = one_form(row["group"] or "")
        if groups.setdefault(row["path"], group) != group:
            raise UserError(f"{folder / name} gives {row['path']} two groups: {groups[row['path']]}, {group}")
    return groups
