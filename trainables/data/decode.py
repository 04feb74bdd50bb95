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

from trainables.data.source import Listing, Pixels
from trainables.errors import UserError

UNDECODABLE = "undecodable: "
"""Begins the outcome of an image that does not decode; any other outcome is the SHA-256 of its bytes."""
AHEAD_PER_CORE = 16

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
    image = image.convert("RGB")
    if size is not None and image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def what_is_wrong(error: Exception) -> str:
    """Return what a decoder said of an image, without the address in memory: other each time, and of no use."""
    return re.sub(r" <_io\.BytesIO object at \w+>", "", str(error)) or type(error).__name__


def decode_all(listing: Listing, size: int | None, start: int = 0) -> Iterator[Decoded]:
    """Yield the images of a listing from ``start`` on, in its order.

    Raises:
        UnreadableError: if the bytes of an image cannot be read. That is no broken image: it ends the preparation.
    """
    cores = len(os.sched_getaffinity(0))
    ahead: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(cores)
    try:
        for i in range(start, len(listing.items)):
            ahead.append(pool.submit(_one, listing, i, size))
            if len(ahead) > cores * AHEAD_PER_CORE:
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
