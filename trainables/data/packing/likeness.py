"""The perceptual hash of an image: near for re-encoded, scaled, flipped and turned copies of it.

The hash is a vector of the low frequencies of the image's grey values: the two-dimensional cosine transform,
without the mean, scaled to length 1. A flip changes the signs of its odd coefficients, a quarter turn also
transposes it: so all 8 symmetries of the square are had from one hash, exactly, and the comparison takes the nearest
(``splits/copies``). The mean colour goes with it.

Libraries were considered. ``imagehash`` needs 8 hashes an image for the 8 symmetries, each through Pillow and in
milliseconds; ``pdqhash`` gives all 8 at once, but as bits, in which the cells of one stain differ little.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128

from trainables.arrays import Pixels

FREQUENCIES = 8
"""Of each axis that are kept."""
SCALE = 127
"""Of the coefficients, which are kept as signed bytes."""
FLAT = 1.0
"""Grey levels (root mean square, of the kept frequencies) below which an image has nothing to be told by."""


@lru_cache(64)
def _cosines(edge: int) -> NDArray[np.float32]:
    """Return the lowest cosines over ``edge`` pixels, orthogonal and of root mean square 1, shape (FREQUENCIES, edge)."""
    places = (np.arange(edge) + 0.5) / edge
    rows = np.cos(np.pi * np.arange(FREQUENCIES)[:, np.newaxis] * places)
    rows[1:] *= np.sqrt(2)
    return np.asarray(rows / edge, dtype=np.float32)


def likeness(image: Pixels) -> str:
    """Return the perceptual hash of an image, as hex.

    Args:
        image: RGB, shape (height, width, 3).

    Returns:
        FREQUENCIES² signed bytes (the first, of the mean, is 0) and 3 bytes of mean colour; empty for an image that is flat:
        all such are alike.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = _cosines(grey.shape[0]) @ grey @ _cosines(grey.shape[1]).T
    low[0, 0] = 0
    length = float(np.sqrt((low * low).sum()))
    if length < FLAT:
        return ""
    colour = np.rint(cv2.mean(image)[:3]).astype(np.uint8)
    content: bytes = np.rint(low * (SCALE / length)).astype(np.int8).tobytes() + colour.tobytes()
    return content.hex()


def pixel_digest(image: Pixels) -> str:
    """Return the XXH3 (128 bits, hex) of the shape and the pixels of an image."""
    total = xxh3_128(repr(image.shape).encode())
    total.update(np.ascontiguousarray(image).data)
    return str(total.hexdigest())
