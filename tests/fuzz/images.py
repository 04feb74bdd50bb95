"""Images of every kind that is read, with what an independent reader makes of them, and images that are hostile."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

EDGE = 24
Array = NDArray[Any]
WHITE = (255, 255, 255)


def picture(rng: random.Random, channels: int = 3, kind: type[np.unsignedinteger] = np.uint8) -> Array:
    """Random pixels, shape (EDGE, EDGE) or (EDGE, EDGE, channels)."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    shape = (EDGE, EDGE) if channels == 1 else (EDGE, EDGE, channels)
    return numbers.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def valid_image(rng: random.Random) -> tuple[str, bytes, Array]:
    """Return an ending, an encoded image, and the RGB that it should become: turned upright, laid on white, scaled.

    The expected pixels are made by Pillow's own ``exif_transpose`` and ``alpha_composite``, and by hand for 16 bits.
    """
    return rng.choice([_plain, _alpha, _palette, _deep, _jpeg, _grey])(rng)


def _encoded(
    rng: random.Random, image: Image.Image, endings: dict[str, str], **options: object
) -> tuple[str, bytes, Image.Image]:
    ending = rng.choice(list(endings))
    sink, exif = io.BytesIO(), Image.Exif()
    turned = rng.randrange(1, 9) if endings[ending] in ("PNG", "JPEG", "TIFF", "WEBP") and rng.random() < 0.4 else 1
    if turned > 1:
        exif[0x0112] = turned
        options["exif"] = exif
    image.save(sink, endings[ending], **options)
    image.getexif()[0x0112] = turned
    return ending, sink.getvalue(), ImageOps.exif_transpose(image)


def _plain(rng: random.Random) -> tuple[str, bytes, Array]:
    image = Image.fromarray(picture(rng))
    endings = {
        ".png": "PNG",
        ".tif": "TIFF",
        ".bmp": "BMP",
        ".TIFF": "TIFF",
        ".PNG": "PNG",
        ".jpg": "PNG",
        ".webp": "WEBP",
    }
    ending, content, upright = _encoded(rng, image, endings, lossless=True)
    return ending, content, np.asarray(upright)


def _grey(rng: random.Random) -> tuple[str, bytes, Array]:
    image = Image.fromarray(picture(rng, 1))
    image = image.convert("1") if rng.random() < 0.3 else image
    ending, content, upright = _encoded(rng, image, {".png": "PNG", ".tif": "TIFF", ".bmp": "BMP"})
    return ending, content, np.asarray(upright.convert("RGB"))


def _alpha(rng: random.Random) -> tuple[str, bytes, Array]:
    channels = picture(rng, 4)
    if rng.random() < 0.5:
        channels[1:, :, 3] = rng.choice([0, 255])  # not all of it: wholly transparent ones would be one image
    ending, content, upright = _encoded(rng, Image.fromarray(channels), {".png": "PNG", ".tif": "TIFF"})
    below = Image.new("RGBA", upright.size, (*WHITE, 255))
    return ending, content, np.asarray(Image.alpha_composite(below, upright).convert("RGB"))


def _palette(rng: random.Random) -> tuple[str, bytes, Array]:
    image = Image.fromarray(picture(rng)).quantize(rng.choice([2, 16, 256]))
    ending, content, upright = _encoded(rng, image, {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF"})
    return ending, content, np.asarray(upright.convert("RGB"))


def _deep(rng: random.Random) -> tuple[str, bytes, Array]:
    values = picture(rng, 1, np.uint16)
    sink, ending = io.BytesIO(), rng.choice([".png", ".tif"])
    Image.fromarray(values).save(sink, {".png": "PNG", ".tif": "TIFF"}[ending])
    scaled = np.rint(values.astype(np.float64) / 65535 * 255).astype(np.uint8)
    return ending, sink.getvalue(), np.repeat(scaled[..., np.newaxis], 3, axis=2)


def _jpeg(rng: random.Random) -> tuple[str, bytes, Array]:
    mode = rng.choice(["RGB", "L", "CMYK"])
    image = Image.fromarray(picture(rng)).convert(mode)
    options = {"quality": rng.choice([5, 50, 95]), "progressive": rng.random() < 0.3}
    endings = {".jpg": "JPEG", ".jpeg": "JPEG", ".JPG": "JPEG", ".png": "JPEG"}
    ending, content, _ = _encoded(rng, image, endings, **options)
    with Image.open(io.BytesIO(content)) as opened:
        return ending, content, np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def hostile_file(rng: random.Random, folder: Path, name: str) -> None:
    """Put something that is no good image into a folder, under a name that ends as one."""
    rng.choice(HOSTILE)(rng, folder / f"{name}.png")


def _damaged(rng: random.Random, file: Path) -> None:
    _, content, _ = valid_image(rng)
    parts = bytearray(content)
    for _ in range(rng.choice([1, 5, 100])):
        parts[rng.randrange(len(parts))] = rng.randrange(256)
    file.write_bytes(bytes(parts[: rng.randrange(len(parts))] if rng.random() < 0.5 else parts))


def _empty(rng: random.Random, file: Path) -> None:
    file.write_bytes(rng.choice([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"<html>not found</html>", os.urandom(64)]))


def _pipe(_: random.Random, file: Path) -> None:
    os.mkfifo(file)


def _device(rng: random.Random, file: Path) -> None:
    file.symlink_to(rng.choice(["/dev/zero", "/dev/random", "/dev/stdin", "nowhere", file.name]))


def _pages(rng: random.Random, file: Path) -> None:
    """Several pictures in one file: a film, a stack, icons."""
    pages = [Image.fromarray(picture(rng)) for _ in range(3)]
    pages[0].save(file, rng.choice(["TIFF", "PNG", "WEBP", "GIF"]), save_all=True, append_images=pages[1:])


def _compressed_text(_: random.Random, file: Path) -> None:
    """A text in a PNG that unpacks to a thousand times its size."""
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("x", "a" * 200_000_000, zip=True)
    Image.new("RGB", (EDGE, EDGE)).save(file, "PNG", pnginfo=told)


def _colour_space(rng: random.Random, file: Path) -> None:
    """Colour spaces that few expect."""
    Image.fromarray(picture(rng)).convert(rng.choice(["LAB", "YCbCr", "CMYK", "I", "F", "LA", "RGBX"])).save(
        file, "TIFF", compression=rng.choice([None, "tiff_lzw", "tiff_deflate"])
    )


def _folder(_: random.Random, file: Path) -> None:
    file.mkdir()


def _program(_: random.Random, file: Path) -> None:
    file.write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n(touched) (w) file closefile\nshowpage\n%%EOF\n"
    )


def _bomb(rng: random.Random, file: Path) -> None:
    """A header of very many pixels, with few bytes after it."""
    sink = io.BytesIO()
    Image.fromarray(picture(rng)).save(sink, rng.choice(["PNG", "BMP", "JPEG"]))
    content, size = sink.getvalue(), rng.choice([40_000, 60_000, 65_535])
    if content.startswith(b"\x89PNG"):
        import zlib

        head = content[12:16] + size.to_bytes(4, "big") * 2 + content[24:29]
        content = content[:12] + head + zlib.crc32(head).to_bytes(4, "big") + content[33:]
    elif content.startswith(b"BM"):
        content = content[:18] + size.to_bytes(4, "little") * 2 + content[26:]
    else:
        place = content.index(b"\xff\xc0") + 5
        content = content[:place] + size.to_bytes(2, "big") * 2 + content[place + 4 :]
    file.write_bytes(content)


HOSTILE: list[Callable[[random.Random, Path], None]] = [
    _damaged, _damaged, _empty, _pipe, _device, _folder, _program, _bomb, _pages, _compressed_text, _colour_space,
]  # fmt: skip
