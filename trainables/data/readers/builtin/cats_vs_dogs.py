"""Cats and dogs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trainables.data.readers.base import DataSource, Listing, describe_folder, folder_of, readers
from trainables.data.readers.folder_scan import scan_folder
from trainables.data.readers.image_files import list_files
from trainables.errors import UserError


@readers.register("cats_vs_dogs")
class CatsVsDogs(DataSource):
    """The Microsoft release of cats and dogs: ``PetImages/{Cat,Dog}/N.jpg``."""

    origin: ClassVar[str] = "https://www.microsoft.com/download/details.aspx?id=54765 (0.8 GB)"
    path: str = "cats_vs_dogs"

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the layout is another."""
        folder = folder_of(root, self.path, self.origin)
        found = scan_folder(folder, self.tidy)
        pets = {
            kind: [name for name in found.names if name.startswith(f"PetImages/{kind}/")] for kind in ("Cat", "Dog")
        }
        missing = [f"PetImages/{kind}" for kind, found in pets.items() if not found]
        if missing:
            raise UserError(f"no images in {' and '.join(missing)} in {folder}; {describe_folder(folder)}")
        return list_files(folder, [*pets["Cat"], *pets["Dog"]], lambda name: name.split("/")[1], {}, found.notes)
