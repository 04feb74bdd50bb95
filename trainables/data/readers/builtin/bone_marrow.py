"""The bone-marrow data set of the study."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from trainables.data.readers.base import DataSource, Listing, describe_folder, folder_of, readers
from trainables.data.readers.folder_scan import scan_folder
from trainables.data.readers.image_files import group_table, list_files
from trainables.errors import UserError


@readers.register("bone_marrow")
class BoneMarrow(DataSource):
    """The bone-marrow set: ``…/<CODE>/[0001-1000/]<CODE>_00001.jpg``. The label is the name's prefix.

    Glüge et al.'s target set (TCIA, DOI 10.7937/TCIA.AXH3-T579); its Kaggle mirror has the same tree.
    """

    origin: ClassVar[str] = "The Cancer Imaging Archive, DOI 10.7937/TCIA.AXH3-T579 (6.8 GB, CC BY 4.0)"
    path: str = "bone_marrow"
    groups: str | None = Field(None, description="CSV below the path with columns path, group")

    def scan(self, root: Path) -> Listing:
        """List the images. Raises UserError where the layout is another."""
        folder = folder_of(root, self.path, self.origin)
        found = scan_folder(folder, self.tidy)
        names = [name for name in found.names if _code(name) in name.split("/")[:-1]]
        if not names:
            raise UserError(
                f"no image named <CODE>_<number> below a folder <CODE> in {folder}; {describe_folder(folder)}. Expected …/BM_cytomorphology_data/<CODE>/[0001-1000/]<CODE>_00001.jpg"
            )
        groups = group_table(folder, self.groups, self.tidy)
        return list_files(folder, names, _code, groups, found.notes)


def _code(name: str) -> str:
    return name.rpartition("/")[2].split("_")[0]
