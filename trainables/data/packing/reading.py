"""From an opened image to RGB of 8 bits: the reading rules, and which of them touched the image."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainables.arrays import Pixels
from trainables.data.readers.pixel_rules import PixelRules

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
"""Formats that are decoded, told by content and not by name. Pillow knows forty, and hands some (EPS) to other programs."""
DEEP = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
"""Pillow's modes of one channel with more than 8 bits."""
ORIENTATION = 0x0112
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
"""Orientation tag of EXIF -> how an image is turned to stand upright."""


@dataclass(frozen=True)
class ReadPixels:
    """An image as RGB.

    Attributes:
        pixels: uint8, shape (height, width, 3).
        touched: what the rules did to it, for its row of the fingerprint; empty: nothing, it is as every edition reads it.
        remark: what else is worth saying of it, such as further pages.
        peak: of an image that was scaled by the range of its type, the share of the range that its highest value uses.
    """

    pixels: Pixels
    touched: str = ""
    remark: str = ""
    peak: float | None = None


def read_encoded(content: bytes, rules: PixelRules) -> ReadPixels:
    """Decode an image with Pillow.

    Args:
        content: the encoded bytes, of one of FORMATS.
        rules: how they become RGB.

    Raises:
        OSError, ValueError: if it is of another format or does not decode in full. Decoders may raise other errors too.
    """
    from PIL import Image, UnidentifiedImageError  # late: most images come without it, and it takes a while

    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"the content is not of a format that is read: {', '.join(FORMATS)}") from error
    with opened as image:
        pages = getattr(image, "n_frames", 1)
        # A JPEG with a second picture in it (a preview, a depth map) is one picture to everybody.
        remark = f"{pages} pages: the first is used" if pages > 1 and image.format not in ("JPEG", "MPO") else ""
        image.load()
        pixels, touched, peak = _rgb(image, rules)
        if rules.upright:
            pixels, turned = turn(pixels, orientation_of(image))
            touched += [turned] if turned else []
        return ReadPixels(pixels, "; ".join(touched), remark, peak)


def orientation_of(image: Image) -> int:
    """Return the orientation tag of an opened image; 1, which is upright, where there is none or it cannot be read.

    Of a TIFF that is loaded it is 1: Pillow has turned it.
    """
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - of any damage, and of no weight
        return 1
    return found if isinstance(found, int) else 1


def jpeg_orientation(content: bytes) -> int:
    """Return the orientation tag of a JPEG, without decoding it."""
    head = content[: 1 << 16]
    if b"Exif\0\0" not in head and b"tiff:Orientation" not in head:
        return 1
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            return orientation_of(image)
    except Exception:  # noqa: BLE001 - whoever decodes it says what is wrong
        return 1


def turn(pixels: Pixels, orientation: int) -> tuple[Pixels, str]:
    """Return an image upright, and what was done to it: nothing where the tag is 1 or none of EXIF's."""
    if orientation not in TURNS:
        return pixels, ""
    return np.ascontiguousarray(TURNS[orientation](pixels)), f"turned by its orientation {orientation}"


def _rgb(image: Image, rules: PixelRules) -> tuple[Pixels, list[str], float | None]:
    if image.mode in DEEP and rules.depth != "clip":
        return _scaled(image, rules)
    if rules.background is None or not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), [], None
    rgba = np.asarray(image.convert("RGBA"))
    pixels, touched = _flattened(rgba[..., :3], rgba[..., 3], rules.background)
    return pixels, touched, None


def _scaled(image: Image, rules: PixelRules) -> tuple[Pixels, list[str], float | None]:
    """Return an image of one deep channel with a range of its values as 0 to 255."""
    values = np.asarray(image)
    low, high, whole = _range(image, values, rules)
    if not np.isfinite(values).all():
        raise ValueError("it has pixels that are no number (NaN or infinite)")
    grey = np.rint(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    pixels = np.repeat(grey[..., np.newaxis], 3, axis=2)
    touched = [f"values from {low:g} to {high:g} scaled to 8 bits"]
    hidden = image.info.get("transparency")
    if rules.background is not None and isinstance(hidden, int):
        pixels, flattened = _flattened(pixels, np.where(values == hidden, 0, 255).astype(np.uint8), rules.background)
        touched += flattened
    return pixels, touched, float(values.max(initial=0)) / high if whole else None


def _range(image: Image, values: NDArray[np.generic], rules: PixelRules) -> tuple[float, float, bool]:
    """Return the range of values that becomes 0 to 255, and whether it is that of the type."""
    if not isinstance(rules.depth, str):
        return *rules.depth, False
    if image.mode.startswith("I;16") or image.format == "PNG":
        return 0.0, 65535.0, True
    found = f"values from {values.min():g} to {values.max():g}" if values.size else "no value"
    if image.mode == "F" and not (values.size and (values.min() < 0 or values.max() > 1)):
        return 0.0, 1.0, True
    kind = "float values beyond 0 to 1" if image.mode == "F" else "32-bit or signed integers"
    raise ValueError(f"{kind} ({found}) have no range of their own: give the data set `depth: [low, high]`")


def _flattened(pixels: Pixels, alpha: NDArray[np.uint8], background: tuple[int, int, int]) -> tuple[Pixels, list[str]]:
    """Return an image laid on a colour, and what was done: nothing where no pixel is transparent."""
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(pixels), []
    share = alpha[..., np.newaxis].astype(np.float64) / 255
    laid = np.rint(pixels * share + np.array(background, np.float64) * (1 - share)).astype(np.uint8)
    return laid, ["laid on #" + bytes(background).hex()]
