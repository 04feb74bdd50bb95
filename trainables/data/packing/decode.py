"""Decoding: encoded bytes to RGB pixels, and a whole listing on all cores, straight into the memory of shards."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from simplejpeg import decode_jpeg, decode_jpeg_header

from trainables.arrays import Pixels
from trainables.data.packing.likeness import likeness, pixel_digest
from trainables.data.packing.outcomes import Outcome
from trainables.data.packing.reading import ReadPixels, jpeg_orientation, read_encoded, turn
from trainables.data.packing.shards import image_digest
from trainables.data.readers.base import Listing
from trainables.data.readers.pixel_rules import AS_STORED, PixelRules
from trainables.errors import UserError

START_OF_JPEG = b"\xff\xd8"
TRUSTED_PIXELS = 1024**3 // 4 // 3
"""Pixels of the largest image that Pillow takes for no attack."""
HARMLESS = ("extraneous bytes before marker", "Inconsistent progression sequence", "Invalid SOS parameters")
"""Warnings of libjpeg about files whose pixels are all there."""
AT_A_TIME = 8
"""Images that a thread decodes before it tells of them: each telling costs some hundredths of a millisecond."""

Decoded = tuple[Outcome, bytes]
"""The outcome of an image, and the digest of its pixels; the digest is empty where it does not decode."""


class UnreadableError(UserError):
    """A source that could be listed cannot be read now. What is decoded already stays good."""


class ImageDecoder:
    """Decodes a listing on all cores. Use as a context: it ends its threads.

    Attributes:
        cores: how many images are decoded at once.
    """

    def __init__(self, listing: Listing, size: int | None, rules: PixelRules) -> None:
        """Start the threads.

        Args:
            listing: the images.
            size: edge of the square that each becomes, pixels; None: they are squares of one size, and stay so.
            rules: how stored pixels become RGB.
        """
        self.cores = len(os.sched_getaffinity(0))
        self._listing = listing
        self._size = size
        self._rules = rules
        self._pool = ThreadPoolExecutor(self.cores)
        self._tried: dict[int, tuple[Outcome, Pixels | None]] = {}

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
            _, pixels = self._tried[number] = _one(self._listing, number, self._size, self._rules, None)
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
        outcome, pixels = known or _one(self._listing, number, self._size, self._rules, image)
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


def decode(
    content: bytes | Pixels, size: int | None, out: Pixels | None = None, rules: PixelRules = AS_STORED
) -> Pixels:
    """Decode one image to RGB uint8.

    Args:
        content: the encoded bytes, or the pixels themselves.
        size: edge of the square to scale and cut it to, pixels; None: it stays as it is.
        out: memory of its final shape, which is used if the decoder can write there.
        rules: how stored pixels become RGB.

    Returns:
        Shape (height, width, 3), or (size, size, 3) where a size is given: ``out`` itself where that was used.

    Raises:
        OSError, ValueError: if it does not decode in full.
    """
    return fit(read(content, rules, out).pixels, size)


def read(content: bytes | Pixels, rules: PixelRules, out: Pixels | None = None) -> ReadPixels:
    """Return an image in its own size, with what the rules did to it.

    Args:
        content: the encoded bytes, or the pixels themselves.
        rules: how stored pixels become RGB.
        out: memory of some shape, which is used if the image has that shape and the decoder can write there.

    Raises:
        OSError, ValueError: if it does not decode in full, or the rules refuse it.
    """
    if not isinstance(content, bytes):
        return ReadPixels(_as_rgb(content))
    if not content:
        raise ValueError("the file is empty")
    if not content.startswith(START_OF_JPEG):
        return read_encoded(content, rules)
    pixels, complaint = _sound_jpeg(content, out)
    if rules.refuse_damaged and complaint and not any(text in complaint for text in HARMLESS):
        raise ValueError(f"damaged: its JPEG data are incomplete or wrong ({complaint})")
    if pixels is None:
        whole = read_encoded(content, rules)
        return replace(whole, remark=f"JPEG with a warning: {complaint}") if complaint and not whole.remark else whole
    turned, touched = turn(pixels, jpeg_orientation(content)) if rules.upright else (pixels, "")
    return ReadPixels(turned, touched)


def fit(pixels: Pixels, size: int | None) -> Pixels:
    """Return an image with its shorter side scaled to a size and its centre cut out; None: as it is."""
    if size is None or pixels.shape[:2] == (size, size):
        return pixels
    from PIL import Image, ImageOps  # late: most images come without it, and it takes a while

    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR))


def _as_rgb(pixels: Pixels) -> Pixels:
    """Return pixels that a reader gives as RGB: they have three channels already, or one."""
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("RGB"))


def _sound_jpeg(content: bytes, out: Pixels | None) -> tuple[Pixels | None, str]:
    """Decode a JPEG with simplejpeg: the bits of Pillow's, for both are libjpeg-turbo, in half the time.

    Args:
        content: the encoded bytes of a JPEG.
        out: memory that is used if the image has its shape.

    Returns:
        RGB uint8, shape (height, width, 3), None for what is left to Pillow, which then says what is wrong: other colours,
        images larger than it trusts, and all that libjpeg has anything to say against. And what libjpeg says of it.
    """
    try:
        height, width, colours, _ = decode_jpeg_header(content)
    except ValueError:
        return None, ""  # that is no damage yet: Pillow knows more kinds
    try:
        if height * width > TRUSTED_PIXELS:
            return None, ""
        if colours not in ("YCbCr", "Gray"):
            if colours in ("CMYK", "YCCK"):
                decode_jpeg(content, "CMYK")  # for what libjpeg says of it
            return None, ""
        if out is not None and out.shape[:2] == (height, width):
            decode_jpeg(content, "RGB", buffer=out)
            return out, ""
        return np.asarray(decode_jpeg(content, "RGB"), dtype=np.uint8), ""
    except ValueError as error:
        return None, str(error)


def what_is_wrong(error: Exception) -> str:
    """Return what a decoder said of an image, without the address in memory: other each time, and of no use."""
    return re.sub(r" <_io\.BytesIO object at \w+>", "", str(error)) or type(error).__name__


def _one(
    listing: Listing, number: int, size: int | None, rules: PixelRules, out: Pixels | None
) -> tuple[Outcome, Pixels | None]:
    try:
        content = listing.load(number)
    except OSError as error:
        raise UnreadableError(
            f"cannot read {listing.items[number].image_id}: {error}. What is decoded is kept: run it again to go on"
        ) from error
    try:
        raw = content if isinstance(content, bytes) else content.tobytes()
        image = read(content, rules, out)
        fitted = fit(image.pixels, size)
        outcome = Outcome(
            sha256=hashlib.sha256(raw).hexdigest(),
            touched=image.touched,
            remark=image.remark,
            peak=image.peak,
            pixels=pixel_digest(image.pixels),
            likeness=likeness(fitted),
        )
        return outcome, fitted
    except Exception as error:  # noqa: BLE001 - decoders raise anything on a file from outside
        return Outcome(fault=what_is_wrong(error)), None
