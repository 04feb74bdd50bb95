"""Images that the project draws itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from trainables.data.readers.base import DataSource, ImageEntry, Listing, readers
from trainables.data.synthetic import generated


@readers.register("generated")
class Generated(DataSource):
    """Images that the project makes itself, so that a study runs with no data and no download."""

    generator: Literal["blood_cells", "tissue_patches", "scenes"]
    images_per_class: int = Field(60, ge=1, le=100_000)
    size: int = Field(64, ge=32, le=2048, description="edge of the images made, pixels")
    seed: int = Field(0, ge=0, lt=2**63)

    def scan(self, root: Path) -> Listing:
        """List the images; each is drawn when it is loaded."""
        members = generated.members(self.generator, self.images_per_class, self.seed)
        stamp = str(generated.GENERATOR_VERSION)
        items = [ImageEntry(member.image_id, member.kind, member.group, None, stamp) for member in members]
        return Listing(items, lambda i: generated.picture(self.generator, members[i], self.size, self.seed)[0])
