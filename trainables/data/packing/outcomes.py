"""What comes of each image of a listing when it is read: kept in the records of shards and in the index of the set."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What came of an image.

    Attributes:
        sha256: of its encoded bytes, hex; empty where it does not decode.
        fault: why it does not decode; empty where it does.
        touched: what the reading rules did to its pixels; empty: nothing.
        remark: what else is worth saying of it.
        peak: see ``ReadPixels.peak``.
        pixels: digest of its decoded pixels, before they are scaled. It finds copies; decoders differ between versions, so
            no key holds it.
        likeness: its perceptual hash, see ``likeness``.
    """

    sha256: str = ""
    fault: str = ""
    touched: str = ""
    remark: str = ""
    peak: float | None = None
    pixels: str = ""
    likeness: str = ""

    def plain(self) -> list[Any]:
        """Return its values, as the record of a shard keeps them."""
        return list(astuple(self))

    @classmethod
    def from_plain(cls, values: list[Any]) -> Outcome:
        """Return an outcome from the record of a shard. Raises TypeError for other values."""
        return cls(*values)
