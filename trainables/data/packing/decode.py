"""Decoding: encoded bytes to RGB pixels, on all cores, in order, a bounded number ahead."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from trainables.arrays import Pixels
from trainables.data.packing.arrow_images import BATCH_ROWS
from trainables.data.readers.base import Listing
from trainables.errors import UserError

START_OF_JPEG = b"\xff\xd8"
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
    pixels = _sound_jpeg(content, Image.MAX_IMAGE_PIXELS) if isinstance(content, bytes) else None
    if pixels is None:
        image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
        pixels = np.asarray(image.convert("RGB"))
    if size is None or pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR))


def _sound_jpeg(content: bytes, most: int | None) -> Pixels | None:
    """Decode a JPEG with simplejpeg: the bits of Pillow's, for both are libjpeg-turbo, in half the time.

    Args:
        content: the encoded bytes, of any format.
        most: pixels of the largest image that is decoded here.

    Returns:
        RGB uint8, shape (height, width, 3); None for what is left to Pillow, which then says what is wrong: other formats
        and colours, images larger than it trusts, and all that libjpeg has anything to say against.
    """
    if not content.startswith(START_OF_JPEG):
        return None
    from simplejpeg import decode_jpeg, decode_jpeg_header

    try:
        height, width, colours, _ = decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or (most is not None and height * width > most):
            return None
        return np.asarray(decode_jpeg(content, "RGB"), dtype=np.uint8)
    except ValueError:
        return None


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
