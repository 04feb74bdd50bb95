"""Decoding: encoded bytes to RGB pixels, on all cores, in order, a bounded number ahead."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from trainables.data.image_file import BATCH_ROWS
from trainables.data.source import Listing, Pixels
from trainables.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

END_OF_JPEG = b"\xff\xd9"
UNDECODABLE = "undecodable: "
"""Begins the outcome of an image that does not decode; any other outcome is the SHA-256 of its bytes."""
AHEAD = BATCH_ROWS
"""Images decoded before they are asked for: as many as are written at once, so that decoding goes on meanwhile."""

Decoded = tuple[str, Pixels | None]
"""The outcome, and the pixels where there are any."""


class UnreadableError(UserError):
    """A source that could be listed cannot be read now. What is decoded already stays good."""


def decode(content: bytes | Pixels, size: int | None) -> Pixels:
    """Decode one image to RGB uint8, shape (height, width, 3), or (size, size, 3) where a size is given.

    Raises:
        OSError, ValueError: if it does not decode in full.
    """
    from PIL import Image, ImageOps

    if isinstance(content, bytes) and not content:
        raise ValueError("the file is empty")
    image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
    pixels = _whole_jpeg(content, image) if isinstance(content, bytes) else None
    if size is None or image.size == (size, size):
        return np.asarray(image.convert("RGB")) if pixels is None else pixels
    whole = image.convert("RGB") if pixels is None else Image.fromarray(pixels)
    return np.asarray(ImageOps.fit(whole, (size, size), Image.Resampling.BILINEAR))


def _whole_jpeg(content: bytes, opened: Image) -> Pixels | None:
    """Decode a JPEG with OpenCV: the bits of Pillow's, for both are libjpeg-turbo, in about half the time.

    What libjpeg has to say of a damaged file that still decodes, it writes to stderr by itself.

    Returns:
        RGB uint8, shape (height, width, 3); None for what is left to Pillow: other colours, and a file that does not end
        as a JPEG ends. OpenCV would fill up what is missing and not say so.
    """
    if opened.format != "JPEG" or opened.mode not in ("RGB", "L") or not content.endswith(END_OF_JPEG):
        return None
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, dtype=np.uint8)


def what_is_wrong(error: Exception) -> str:
    """Return what a decoder said of an image, without the address in memory: other each time, and of no use."""
    return re.sub(r" <_io\.BytesIO object at \w+>", "", str(error)) or type(error).__name__


def decode_all(listing: Listing, size: int | None, start: int = 0) -> Iterator[Decoded]:
    """Yield the images of a listing from ``start`` on, in its order.

    Raises:
        UnreadableError: if the bytes of an image cannot be read. That is no broken image: it ends the preparation.
    """
    ahead: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        for i in range(start, len(listing.items)):
            ahead.append(pool.submit(_one, listing, i, size))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one(listing: Listing, i: int, size: int | None) -> Decoded:
    try:
        content = listing.load(i)
    except OSError as error:
        raise UnreadableError(
            f"cannot read {listing.items[i].image_id}: {error}. What is decoded is kept: run it again to go on"
        ) from error
    try:
        raw = content if isinstance(content, bytes) else content.tobytes()
        return hashlib.sha256(raw).hexdigest(), decode(content, size)
    except Exception as error:  # noqa: BLE001 - decoders raise anything on a file from outside
        return f"{UNDECODABLE}{what_is_wrong(error)}", None
