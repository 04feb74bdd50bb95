"""A table that names each image with its label."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, readers, stamp
from trainables.data.readers.manifest_table import table_rows
from trainables.errors import UserError


@readers.register("manifest")
class Manifest(DataSource):
    """A CSV or Parquet file with columns ``path``, ``label`` and, if wanted, ``group``."""

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
