"""Image sets that the project generates itself: a study runs with no data and no download.

Three sets stand in for real ones:

* `blood_cells`, the target task: six kinds of white blood cell that differ in morphology (lobes of the
  nucleus, size of nucleus and cell, granules), under stains that differ from patient to patient;
* `tissue_patches`, for in-domain pre-training: H&E-like tissue, normal or with a tumour at the centre;
* `scenes`, for out-of-domain pre-training: drawn landscapes with houses or trees.

Results on them show that a study works, not how well it would do on real images.

Each image has its own random generator, seeded by (seed, set, class, index): image k of a class stays the same however
many images are made, and in whichever order. Other versions of numpy or OpenCV, or another kind of processor, may round
a few pixels differently.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from trainables.data.synthetic.blood_cells import CELL_KINDS, paint_blood_cell
from trainables.data.synthetic.draw import NEUTRAL_APPEARANCE, Picture, SlideAppearance
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

MIN_SIZE = 32
"""Smallest edge of an image, pixels."""


@dataclass(frozen=True)
class GeneratorRecipe:
    """How one set is made.

    Attributes:
        classes: names of the classes.
        paint: (generator, appearance of the slide, class name, edge in pixels) -> image and mask.
        grouped: whether images come from patients, each with an appearance of their own.
    """

    classes: tuple[str, ...]
    paint: Callable[[Generator, SlideAppearance, str, int], Picture]
    grouped: bool = False


GENERATORS: dict[str, GeneratorRecipe] = {
    "blood_cells": GeneratorRecipe(tuple(CELL_KINDS), paint_blood_cell, grouped=True),
    "tissue_patches": GeneratorRecipe(TISSUE_CLASSES, paint_tissue),
    "scenes": GeneratorRecipe(SCENE_CLASSES, paint_scene),
}
"""The sets by name."""


@dataclass(frozen=True)
class Member:
    """One image of a set, before it is drawn: its class, its index in the class, its patient or None."""

    kind: str
    index: int
    group: str | None

    @property
    def image_id(self) -> str:
        """Its name within the set, such as `lymphocyte/0007`."""
        return f"{self.kind}/{self.index:04d}"


def members(name: str, images_per_class: int, seed: int) -> list[Member]:
    """List the images of a set, by class and index, without drawing them.

    Args:
        name: a key of `GENERATORS`.
        images_per_class: at least 1.
        seed: at least 0; other seeds give other images.

    Raises:
        ValueError: if the name is unknown or a number is below its minimum.
    """
    if name not in GENERATORS:
        raise ValueError(f"unknown generated set {name!r}; valid names: {', '.join(GENERATORS)}")
    _at_least(1, images_per_class=images_per_class)
    _at_least(0, seed=seed)
    recipe = GENERATORS[name]
    keys = [(kind, index) for kind in recipe.classes for index in range(images_per_class)]
    return [
        Member(kind, index, f"patient_{_patient(_rng(seed, name, kind, index), index):03d}" if recipe.grouped else None)
        for kind, index in keys
    ]


def picture(name: str, member: Member, size: int, seed: int) -> Picture:
    """Draw one image of a set.

    Args:
        name: a key of `GENERATORS`.
        member: which image.
        size: edge in pixels, at least `MIN_SIZE`.
        seed: of the set.

    Returns:
        The image, uint8 (size, size, 3), RGB; and its mask, uint8 (size, size), or None: only blood cells have masks,
        0 = background, 1 = cytoplasm, 2 = nucleus.

    Raises:
        ValueError: if the size is below its minimum.
    """
    _at_least(MIN_SIZE, size=size)
    recipe = GENERATORS[name]
    rng = _rng(seed, name, member.kind, member.index)
    patient = _patient(rng, member.index)
    slide_rng = _rng(seed, name, "patient", patient) if recipe.grouped else rng
    appearance = NEUTRAL_APPEARANCE.varied(slide_rng, 0.16).varied(rng, 0.08)
    return recipe.paint(rng, appearance, member.kind, size)


def _at_least(minimum: int, **values: int) -> None:
    for what, value in values.items():
        if value < minimum:
            raise ValueError(f"{what} must be at least {minimum}, got {value}")


_BLOCK = 5
"""Patients are dealt out in blocks of this many indices: a block has as many patients, and this many images of each class,
so that a patient has about one image of each class."""


def _patient(rng: Generator, index: int) -> int:
    return index // _BLOCK * _BLOCK + int(rng.integers(_BLOCK))


def _rng(seed: int, name: str, part: str, index: int) -> Generator:
    # crc32, for hash() of a string changes from run to run.
    words = [seed, zlib.crc32(name.encode()), zlib.crc32(part.encode()), index]
    return np.random.default_rng(np.random.SeedSequence(words))
