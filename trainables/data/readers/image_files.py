"""Listings of image files below a folder, and the tables of their groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from trainables.data.readers.base import ImageEntry, Listing, stamp
from trainables.data.readers.manifest_table import table_rows
from trainables.errors import UserError


def list_files(folder: Path, names: Sequence[str], label: Callable[[str], str], groups: dict[str, str]) -> Listing:
    """Return the listing of image files.

    Args:
        folder: of the data set.
        names: of the files, as paths below the folder with ``/``.
        label: gives the class of a file from its name.
        groups: of each name; empty where none are known.

    Raises:
        UserError: if there are groups, but not of every image.
    """
    without = [name for name in names if name not in groups]
    if groups and without:
        raise UserError(
            f"the groups file of {folder} names no group for {len(without)} of {len(names)} images, the first: {without[0]}"
        )
    items = [ImageEntry(name, label(name), groups.get(name), None, stamp(f"{folder}/{name}")) for name in names]
    return Listing(items, lambda i: (folder / names[i]).read_bytes())


def group_table(folder: Path, name: str | None) -> dict[str, str]:
    """Return the group of each image, by its path below the folder.

    Args:
        folder: of the data set.
        name: of the table in it, with columns ``path`` and ``group``; None: no groups are known.

    Raises:
        UserError: if the table, a column or a value is missing.
    """
    if name is None:
        return {}
    rows = table_rows(folder / name, needed=("path", "group"))
    return {row["path"]: row["group"] for row in rows}
