"""Decoding: encoded bytes to RGB pixels, and a whole listing on all cores, straight into the memory of shards."""

from __future__ import annotations

import hashlib
import io
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from simplejpeg import decode_jpeg, decode_jpeg_header

from trainables.arrays import Pixels
from trainables.data.packing.shards import image_digest
from trainables.data.readers.base import Listing
from trainables.errors import UserError

START_OF_JPEG = b"\xff\xd8"
TRUSTED_PIXELS = 1024**3 // 4 // 3
"""Pixels of the largest image that Pillow takes for no attack."""
UNDECODABLE = "undecodable: "
"""Begins the outcome of an image that does not decode; any other outcome is the SHA-256 of its bytes."""
AT_A_TIME = 8
"""Images that a thread decodes before it tells of them: each telling costs some hundredths of a millisecond."""

Decoded = tuple[str, bytes]
"""The outcome of an image, and the digest of its pixels; the digest is empty where it does not decode."""


class UnreadableError(UserError):
    """A source that could be listed cannot be read now. What is decoded already stays good."""


class ImageDecoder:
    """Decodes a listing on all cores. Use as a context: it ends its threads.

    Attributes:
        cores: how many images are decoded at once.
    """

    def __init__(self, listing: Listing, size: int | None) -> None:
        """Start the threads.

        Args:
            listing: the images.
            size: edge of the square that each becomes, pixels; None: they are squares of one size, and stay so.
        """
        self.cores = len(os.sched_getaffinity(0))
        self._listing = listing
        self._size = size
        self._pool = ThreadPoolExecutor(self.cores)
        self._tried: dict[int, tuple[str, Pixels | None]] = {}

    def __enter__(self) -> ImageDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def edge(self) -> int:
        """Return the edge of the first image that decodes, pixels; 1 if none does. It is not decoded again later.

        Raises:
            UserError: if that image is not square.
        """
        for number, item in enumerate(self._listing.items):
            _, pixels = self._tried[number] = _one(self._listing, number, self._size, None)
            if pixels is not None:
                refuse_other_size(item.image_id, pixels, len(pixels))
                return len(pixels)
        return 1

    def start(self, items: range, images: Pixels) -> list[Future[list[Decoded]]]:
        """Begin to decode some images of the listing.

        Args:
            items: which.
            images: where their pixels go, in the same order: shape (len(items), edge, edge, 3).

        Returns:
            What comes of AT_A_TIME images each, in order. It raises UnreadableError where the bytes of an image cannot be
            read (that is no broken image: it ends the preparation), UserError where an image is of another size.
        """
        pieces = range(0, len(items), AT_A_TIME)
        return [
            self._pool.submit(self._some, items[start : start + AT_A_TIME], images[start : start + AT_A_TIME])
            for start in pieces
        ]

    def _some(self, items: range, images: Pixels) -> list[Decoded]:
        return [self._into(number, image) for number, image in zip(items, images, strict=False)]

    def _into(self, number: int, image: Pixels) -> Decoded:
        known = self._tried.pop(number, None)
        outcome, pixels = known or _one(self._listing, number, self._size, image)
        if pixels is None:
            return outcome, b""
        if pixels is not image:
            refuse_other_size(self._listing.items[number].image_id, pixels, len(image))
            image[:] = pixels
        return outcome, image_digest(image)


def refuse_other_size(image_id: str, pixels: Pixels, edge: int) -> None:
    """Raise UserError unless an image has ``edge`` × ``edge`` pixels."""
    height, width = pixels.shape[:2]
    if (height, width) != (edge, edge):
        raise UserError(f"{image_id} is {width}×{height} pixels, others are {edge}×{edge}: give the data set a `size:`")


def decode(content: bytes | Pixels, size: int | None, out: Pixels | None = None) -> Pixels:
    """Decode one image to RGB uint8.

    Args:
        content: the encoded bytes, or the pixels themselves.
        size: edge of the square to scale and cut it to, pixels; None: it stays as it is.
        out: memory of its final shape, which is used if the decoder can write there.

    Returns:
        Shape (height, width, 3), or (size, size, 3) where a size is given: ``out`` itself where that was used.

    Raises:
        OSError, ValueError: if it does not decode in full.
    """
    if isinstance(content, bytes) and not content:
        raise ValueError("the file is empty")
    pixels = _sound_jpeg(content, out) if isinstance(content, bytes) else None
    if pixels is not None and (size is None or pixels.shape[:2] == (size, size)):
        return pixels
    from PIL import Image, ImageOps  # late: most images come without it, and it takes a while

    if pixels is None:
        image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
        pixels = np.asarray(image.convert("RGB"))
    if size is None or pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR))


def _sound_jpeg(content: bytes, out: Pixels | None) -> Pixels | None:
    """Decode a JPEG with simplejpeg: the bits of Pillow's, for both are libjpeg-turbo, in half the time.

    Args:
        content: the encoded bytes, of any format.
        out: memory that is used if the image has its shape.

    Returns:
        RGB uint8, shape (height, width, 3); None for what is left to Pillow, which then says what is wrong: other formats
        and colours, images larger than it trusts, and all that libjpeg has anything to say against.
    """
    if not content.startswith(START_OF_JPEG):
        return None
    try:
        height, width, colours, _ = decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or height * width > TRUSTED_PIXELS:
            return None
        if out is not None and out.shape[:2] == (height, width):
            decode_jpeg(content, "RGB", buffer=out)
            return out
        return np.asarray(decode_jpeg(content, "RGB"), dtype=np.uint8)
    except ValueError:
        return None


def what_is_wrong(error: Exception) -> str:
    """Return what a decoder said of an image, without the address in memory: other each time, and of no use."""
    return re.sub(r" <_io\.BytesIO object at \w+>", "", str(error)) or type(error).__name__


def _one(listing: Listing, number: int, size: int | None, out: Pixels | None) -> tuple[str, Pixels | None]:
    try:
        content = listing.load(number)
    except OSError as error:
        raise UnreadableError(
            f"cannot read {listing.items[number].image_id}: {error}. What is decoded is kept: run it again to go on"
        ) from error
    try:
        raw = content if isinstance(content, bytes) else content.tobytes()
        return hashlib.sha256(raw).hexdigest(), decode(content, size, out)
    except Exception as error:  # noqa: BLE001 - decoders raise anything on a file from outside
        return f"{UNDECODABLE}{what_is_wrong(error)}", None
