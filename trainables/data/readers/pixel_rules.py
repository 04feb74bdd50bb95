"""Reading rules that change the pixels of an image. They touch few images, and stand in the fingerprint rows of those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DepthRule = Literal["clip", "scale"] | tuple[float, float]
"""``clip``: what lies above 255 is white. ``scale``: the range of the type becomes 0 to 255. Two numbers: these do."""


@dataclass(frozen=True)
class PixelRules:
    """How stored pixels become RGB of 8 bits, where more than one way is in use.

    Attributes:
        upright: images are turned as their orientation tag says, as viewers show them.
        background: colour below transparent pixels, 0 to 255 each; None: whatever colour is hidden there appears.
        depth: see ``DepthRule``; of images with more than 8 bits in their one channel.
        refuse_damaged: a JPEG whose data are incomplete counts as undecodable.
    """

    upright: bool = False
    background: tuple[int, int, int] | None = None
    depth: DepthRule = "clip"
    refuse_damaged: bool = False


AS_STORED = PixelRules()
"""The rules of the first edition: pixels as the decoder gives them."""


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return a colour given as ``white``, ``black``, ``grey`` or ``#rrggbb``. Raises ValueError for anything else."""
    known = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
    if text in known:
        return known[text]
    if len(text) == 7 and text[0] == "#":
        try:
            red, green, blue = bytes.fromhex(text[1:])
        except ValueError:
            pass
        else:
            return red, green, blue
    raise ValueError(f"{text!r} is no colour: give {', '.join(known)} or #rrggbb")
