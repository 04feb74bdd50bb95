"""A table that names each image with its label."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, readers, stamp
from trainables.data.readers.file_access import read_file
from trainables.data.readers.manifest_table import table_rows
from trainables.errors import UserError


@readers.register("manifest")
class Manifest(DataSource):
    """A CSV or Parquet file with columns ``path``, ``label`` and, if wanted, ``group``."""

    path: str = Field(description="the manifest; its paths are relative to its own folder")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the file, a column or an image is missing."""
        file = root / self.path
        rows = table_rows(file, tidy=self.tidy)
        names, notes = _on_disk(file, [row["path"] for row in rows])
        items = [
            ImageEntry(name, row["label"], row.get("group") or None, None, stamp(file.parent / name))
            for name, row in zip(names, rows, strict=True)
        ]
        return Listing(items, lambda i: read_file(file.parent / items[i].image_id), notes)


def _on_disk(file: Path, paths: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the paths of a manifest as the file system spells them, and a note on those that are spelt another way.

    A Mac writes ``é`` as two characters where other systems have one: both look the same.

    Raises:
        UserError: if an image is not there, or two files differ in the form of their Unicode alone.
    """
    folder = file.parent
    absent = [path for path in paths if not _is_file(folder / path)]
    if not absent:
        return list(paths), ()
    known = _by_normal_form(folder, {path.rpartition("/")[0] for path in absent})
    found = {path: known.get(_form(path), []) for path in absent}
    lost = [path for path, files in found.items() if not files]
    if lost:
        raise UserError(f"{file} names {len(lost)} images that are not in {folder}, the first: {lost[0]}")
    double = [path for path, files in found.items() if len(files) > 1]
    if double:
        raise UserError(
            f"{file} names {double[0]}, and {folder} holds {len(found[double[0]])} files of that name in other Unicode forms"
        )
    note = f"found by another Unicode form of their names: {len(absent):,} images, the first: {absent[0]}"
    return [found[path][0] if path in found else path for path in paths], (note,)


def _by_normal_form(folder: Path, below: set[str]) -> dict[str, list[str]]:
    """Return normal form -> files, of the folders whose own normal form is that of a folder in ``below``."""
    wanted = {_form(name) for name in below}
    known = defaultdict[str, list[str]](list)
    for here, _, files in os.walk(folder):
        base = os.path.relpath(here, folder).replace(os.sep, "/")
        base = "" if base == "." else base
        if _form(base) in wanted:
            for name in files:
                path = f"{base}/{name}" if base else name
                if _is_file(folder / path):
                    known[_form(path)].append(path)
    return known


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for the file system, or with a NUL
        return False


def _form(path: str) -> str:
    return unicodedata.normalize("NFC", path)
