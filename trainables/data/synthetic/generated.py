"""Image sets the project generates itself, so that it runs with no data and no download.

Three sets stand in for real ones:

* `blood_cells`, the target task: six kinds of white blood cell that differ in morphology (lobes of the
  nucleus, size of nucleus and cell, granules), under stains that differ from patient to patient;
* `tissue_patches`, for in-domain pre-training: H&E-like tissue, normal or with a tumour at the centre;
* `scenes`, for out-of-domain pre-training: drawn landscapes with houses or trees.

They are drawings. Results on them show that a study works, never how well it would do on patients.

Every image has its own random generator, seeded by the seed, set, class and index alone. So image k of a
class stays the same however many images are made, and in whichever order.
Another version of numpy or cv2, or another kind of processor, may round a few pixels differently.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainables.data.synthetic.blood_cells import CELL_KINDS, paint_blood_cell
from trainables.data.synthetic.draw import NEUTRAL_LOOK, Picture, SlideAppearance
from trainables.data.synthetic.scenes import SCENE_CLASSES, paint_scene
from trainables.data.synthetic.tissue import TISSUE_CLASSES, paint_tissue

GENERATOR_VERSION: int = 1
"""Raised whenever any pixel, mask, group or id of a generated set may change."""

DEFINING_REGION: dict[str, tuple[int, ...]] = {name: kind.defining for name, kind in CELL_KINDS.items()}
"""For each class of `blood_cells`, the mask values of what defines it.

Shape and relative size of the nucleus do for neutrophils, lymphocytes and monocytes; for eosinophils and
basophils so do the coarse granules, which lie in the cytoplasm (in basophils, over the nucleus too).
The size of the cell, the tint of the cytoplasm and vacuoles are weaker signs that come with some classes.
"""

_MIN_SIZE = 32


@dataclass(frozen=True)
class GeneratedSet:
    """A generated image set, sorted by class and then by index.

    Attributes:
        images: (N, size, size, 3) 8-bit RGB.
        labels: (N,) index into `classes`.
        classes: names of the classes.
        groups: one per image, the patient it is from, such as "patient_007", or None where a set has none.
        masks: (N, size, size) 0 = background, 1 = cytoplasm, 2 = nucleus, or None where a set has none;
            `DEFINING_REGION` tells which of them make a class what it is.
        image_ids: one per image, "<class>/<index>", such as "lymphocyte/0007".
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None
    masks: NDArray[np.uint8] | None
    image_ids: tuple[str, ...]


@dataclass(frozen=True)
class GeneratorRecipe:
    """How one set is made.

    Attributes:
        classes: names of the classes.
        paint: draws an image and its mask from (generator, look of the slide, class name, size in pixels).
        masked: whether `paint` gives masks.
        grouped: whether images come from patients, each with a look of their own.
    """

    classes: tuple[str, ...]
    paint: Callable[[Generator, SlideAppearance, str, int], Picture]
    masked: bool = False
    grouped: bool = False


def generate(name: str, images_per_class: int, size: int, seed: int) -> GeneratedSet:
    """Generate an image set, deterministically.

    Args:
        name: a key of `GENERATORS`.
        images_per_class: how many images each class gets, at least 1.
        size: side of the square images in pixels, at least 32.
        seed: at least 0; other seeds give other images.

    Returns:
        The set, `images_per_class` images of each of its classes.

    Raises:
        ValueError: the name is unknown, or a number is below its minimum.
    """
    listed, recipe = members(name, images_per_class, seed), GENERATORS[name]
    if size < _MIN_SIZE:
        raise ValueError(f"size must be at least {_MIN_SIZE}, got {size}")
    images, masks = zip(*(picture(name, member, size, seed) for member in listed), strict=True)
    return GeneratedSet(
        images=np.stack(images),
        labels=np.array([recipe.classes.index(member.kind) for member in listed], dtype=np.int64),
        classes=recipe.classes,
        groups=tuple(str(member.group) for member in listed) if recipe.grouped else None,
        masks=np.stack(masks) if recipe.masked else None,
        image_ids=tuple(member.image_id for member in listed),
    )


@dataclass(frozen=True)
class Member:
    """One image of a set, before it is drawn: its class, its number in the class, its patient if it has one."""

    kind: str
    index: int
    group: str | None

    @property
    def image_id(self) -> str:
        """Its name within the set."""
        return f"{self.kind}/{self.index:04d}"


def members(name: str, images_per_class: int, seed: int) -> list[Member]:
    """List the images of a set without drawing any. Raises ValueError as `generate` does."""
    if name not in GENERATORS:
        raise ValueError(f"unknown generated set {name!r}; valid names: {', '.join(GENERATORS)}")
    for what, value, minimum in [("images_per_class", images_per_class, 1), ("seed", seed, 0)]:
        if value < minimum:
            raise ValueError(f"{what} must be at least {minimum}, got {value}")
    recipe = GENERATORS[name]
    keys = [(kind, index) for kind in recipe.classes for index in range(images_per_class)]
    return [
        Member(kind, index, f"patient_{_patient(_rng(seed, name, kind, index), index):03d}" if recipe.grouped else None)
        for kind, index in keys
    ]


def picture(name: str, member: Member, size: int, seed: int) -> Picture:
    """Draw one image: uint8 (size, size, 3), and its mask where the set has masks."""
    recipe = GENERATORS[name]
    rng = _rng(seed, name, member.kind, member.index)
    patient = _patient(rng, member.index)
    look_rng = _rng(seed, name, "patient", patient) if recipe.grouped else rng
    look = NEUTRAL_LOOK.varied(look_rng, 0.16).varied(rng, 0.08)
    return recipe.paint(rng, look, member.kind, size)


# Patients are dealt out in blocks of this many indices: a block holds this many images of every class and
# as many patients, so a patient has about one image per class, in a random mix.
_BLOCK = 5


def _patient(rng: Generator, index: int) -> int:
    return index // _BLOCK * _BLOCK + int(rng.integers(_BLOCK))


def _rng(seed: int, name: str, part: str, index: int) -> Generator:
    # crc32, for hash() of a string changes from run to run.
    words = [seed, zlib.crc32(name.encode()), zlib.crc32(part.encode()), index]
    return np.random.default_rng(np.random.SeedSequence(words))


GENERATORS: dict[str, GeneratorRecipe] = {
    "blood_cells": GeneratorRecipe(tuple(CELL_KINDS), paint_blood_cell, masked=True, grouped=True),
    "tissue_patches": GeneratorRecipe(TISSUE_CLASSES, paint_tissue),
    "scenes": GeneratorRecipe(SCENE_CLASSES, paint_scene),
}
"""The sets there are, by name."""
