"""A folder for each class."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from trainables.data.readers.base import DataSource, Listing, describe_folder, folder_of, image_names, readers
from trainables.data.readers.image_files import group_table, list_files
from trainables.errors import UserError


@readers.register("image_folder")
class ImageFolder(DataSource):
    """One folder a class: ``<path>/<class>/**/image``."""

    path: str
    groups: str | None = Field(None, description="CSV below the path with columns path, group")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where there is none in a class folder."""
        folder = folder_of(root, self.path, self.origin)
        names = [name for name in image_names(folder) if "/" in name]
        if not names:
            raise UserError(
                f"no image in a class folder of {folder}; {describe_folder(folder)}. Expected {folder}/<class>/image.jpg"
            )
        return list_files(folder, names, lambda name: name.partition("/")[0], group_table(folder, self.groups))
