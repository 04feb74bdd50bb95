"""The images that benchmarks work on: JPEGs of 250 pixels, as those of the study's target, in a folder a class."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from support.environments import CACHE

from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers.builtin.image_folder import ImageFolder
from trainables.data.synthetic.generated import GENERATORS, members, picture

EDGE = 250
QUALITY = 99
"""The target's own files have 40 kB each (6.8 GB of 171,374); at this quality these have 20 to 30 kB."""


def folder(data: Path | None, count: int) -> Path:
    """Return a folder of JPEGs of EDGE pixels, ``CLASS/NUMBER.jpg``, made where it does not exist yet.

    A repeat has one pixel of its own, so that no two files are the same.

    Args:
        data: folder that holds ``bone_marrow/``, whose images are scaled up and repeated as needed; None: drawings.
        count: images.
    """
    kind = "drawn" if data is None else hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]
    whole = CACHE / "pictures" / f"{kind}-{count}"
    if whole.is_dir():
        return whole
    partial = whole.with_name(f"{whole.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    sources = list(_found(data) if data is not None else _drawn(min(count, 300)))
    for number in range(count):
        label, image = sources[number % len(sources)]
        place = partial / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.jpg").write_bytes(_encoded(image, number))
    partial.replace(whole)
    return whole


def packed(pictures: Path) -> Packed:
    """Return the prepared form of such a folder."""
    return prepare("pictures", specification(pictures), pictures.parent, CACHE / "packed")


def specification(pictures: Path) -> ImageFolder:
    """Return how a grid would name such a folder."""
    return ImageFolder(reader="image_folder", path=pictures.name)


def _found(data: Path) -> Iterator[tuple[str, Image.Image]]:
    files = sorted((data / "bone_marrow").rglob("*.jpg"))
    if not files:
        raise SystemExit(f"no JPEG below {data / 'bone_marrow'}: give --data a folder that holds it, or leave it out")
    for file in files:
        try:
            with Image.open(file) as image:
                yield file.parent.name, ImageOps.fit(image.convert("RGB"), (EDGE, EDGE), Image.Resampling.BICUBIC)
        except OSError:  # the set has broken files on purpose
            continue


def _drawn(count: int) -> Iterator[tuple[str, Image.Image]]:
    each = -(-count // len(GENERATORS["blood_cells"].classes))
    for member in members("blood_cells", each, 0):
        yield member.kind, Image.fromarray(picture("blood_cells", member, EDGE, 0)[0])


def _encoded(image: Image.Image, number: int) -> bytes:
    pixels = np.asarray(image).copy()
    pixels[0, :24, :] = np.unpackbits(np.array([number], ">u4").view(np.uint8))[8:, None] * 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=QUALITY)
    return content.getvalue()
