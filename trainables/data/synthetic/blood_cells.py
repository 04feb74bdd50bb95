"""White blood cells under the microscope, for the generated set `blood_cells`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainables.data.synthetic import draw
from trainables.data.synthetic.draw import Colour, Layer, Picture, Range, SlideAppearance

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
"""Values in a mask."""


@dataclass(frozen=True)
class CellKind:
    """A kind of white blood cell. Pairs are (low, high) of a uniform distribution, drawn anew for each cell.

    The nucleus is a chain of lobes along an arc, joined by a band.

    Attributes:
        radius: of the cell, micrometres.
        lobes: number of lobes, both ends included.
        span: angle of the arc, degrees.
        arc: radius of the arc, in cell radii.
        lobe: radius of a lobe, in cell radii.
        waist: half width of the band that joins the lobes, in lobe radii.
        cytoplasm: its colour.
        granules: number of granules.
        granule: radius of a granule, micrometres.
        granule_colour: its colour.
        over_nucleus: how strongly granules show over the nucleus, 0 to 1.
        vacuoles: number of vacuoles, both ends included.
        defining: mask values of the parts that tell this kind from the others.
    """

    radius: Range
    lobes: tuple[int, int]
    span: Range
    arc: Range
    lobe: Range
    waist: Range
    cytoplasm: Colour = (226, 208, 228)
    granules: tuple[int, int] = (20, 60)
    granule: Range = (0.12, 0.22)
    granule_colour: Colour = (214, 178, 212)
    over_nucleus: float = 0.0
    vacuoles: tuple[int, int] = (0, 1)
    defining: tuple[int, ...] = (NUCLEUS,)


# The ranges of kinds that experts confuse overlap on purpose: bands with segmented neutrophils (how thin is the
# bridge?), large lymphocytes with monocytes. So the task is learnable, but not to 100 %.
# fmt: off
CELL_KINDS: dict[str, CellKind] = {
    "neutrophil_segmented": CellKind(
        radius=(5.8, 7.2), lobes=(3, 4), span=(200, 270), arc=(0.42, 0.52), lobe=(0.24, 0.30), waist=(0.12, 0.5)),
    "neutrophil_band": CellKind(
        radius=(5.8, 7.2), lobes=(2, 2), span=(160, 250), arc=(0.42, 0.52), lobe=(0.22, 0.28), waist=(0.6, 1.0)),
    "eosinophil": CellKind(
        radius=(5.8, 7.4), lobes=(2, 2), span=(110, 160), arc=(0.40, 0.48), lobe=(0.30, 0.37), waist=(0.12, 0.4),
        granules=(35, 120), granule=(0.3, 0.5), granule_colour=(228, 142, 118), defining=(CYTOPLASM, NUCLEUS)),
    "basophil": CellKind(
        radius=(5.4, 6.8), lobes=(2, 3), span=(110, 190), arc=(0.32, 0.42), lobe=(0.30, 0.38), waist=(0.5, 0.9),
        granules=(18, 70), granule=(0.25, 0.6), granule_colour=(108, 72, 152), over_nucleus=1.0,
        defining=(CYTOPLASM, NUCLEUS)),
    "lymphocyte": CellKind(
        radius=(4.4, 7.0), lobes=(1, 1), span=(0, 0), arc=(0.0, 0.15), lobe=(0.66, 0.86), waist=(1.0, 1.0),
        cytoplasm=(198, 206, 234), granules=(0, 10)),
    "monocyte": CellKind(
        radius=(6.4, 8.8), lobes=(2, 2), span=(60, 150), arc=(0.30, 0.38), lobe=(0.34, 0.46), waist=(0.85, 1.05),
        cytoplasm=(204, 202, 224), vacuoles=(0, 5)),
}
# fmt: on

FIELD = 26.0
"""Edge of an image, micrometres."""
PLATELET, VACUOLE = np.array([0.5, 1.1]), np.array([0.4, 0.9])
"""Smallest and largest radius, micrometres."""
NUCLEAR: Colour = (104, 62, 150)
RED_CELL: Colour = (236, 188, 182)


def paint_blood_cell(rng: Generator, appearance: SlideAppearance, name: str, size: int) -> Picture:
    """Draw one cell and its mask.

    Args:
        rng: source of randomness.
        appearance: of the slide.
        name: of the class.
        size: edge in pixels.
    """
    kind = CELL_KINDS[name]
    parts = _draw_parts(rng, kind, size)
    picture = _stain(rng, parts, kind, appearance)
    inside, nuclear = parts[..., 0] > 0.5, parts[..., 1] > 0.5
    mask = np.where(inside, np.where(nuclear, NUCLEUS, CYTOPLASM), BACKGROUND)
    return draw.photograph(rng, picture, (0.3, 1.1), (2, 7)), mask.astype(np.uint8)


def _draw_parts(rng: Generator, kind: CellKind, size: int) -> Layer:
    """Return (size, size, 4): cell, nucleus, red cells or vacuoles, platelets or granules."""
    # Parts that lie only outside the cell share a layer with parts that lie only inside: cv2 warps four layers in
    # about the time of one, but needs several times as long for six.
    cell, nucleus, large, small = (draw.blank(size) for _ in range(4))
    side = cell.shape[0]
    micron = side / FIELD * rng.uniform(0.88, 1.12)
    centre = side * rng.uniform(0.42, 0.58, 2)
    radius = micron * rng.uniform(*kind.radius)
    _draw_red_cells(rng, large, centre, radius, micron)
    platelets = int(rng.integers(4))
    draw.scatter(rng, small, platelets, centre, (1.2 * radius, side), micron * PLATELET, 0.5)
    draw.draw_ellipse(cell, centre, radius * rng.uniform(0.93, 1.07, 2), rng.uniform(0, 360), 1.0)
    _draw_nucleus(rng, nucleus, kind, centre, radius)
    np.minimum(nucleus, cell, out=nucleus)
    vacuoles = int(rng.integers(*kind.vacuoles, endpoint=True))
    draw.scatter(rng, large, vacuoles, centre, (0.5 * radius, 0.9 * radius), micron * VACUOLE, 0.85)
    granules = int(rng.integers(*kind.granules, endpoint=True))
    granule = micron * np.array(kind.granule)
    draw.scatter(rng, small, granules, centre, (0, 0.93 * radius), granule, 1.0)
    return draw.shrink(draw.warp(rng, [cell, nucleus, large, small], 5, 0.4 * micron))


def _draw_red_cells(rng: Generator, layer: Layer, centre: NDArray[np.float64], radius: float, micron: float) -> None:
    for _ in range(int(rng.integers(4, 14))):
        size = micron * rng.uniform(3.1, 3.9)
        place = rng.uniform(0, layer.shape[0], 2)
        if np.hypot(*(place - centre)) < radius + 0.8 * size:
            continue  # red cells do not overlap the white one
        radii = size * rng.uniform(0.85, 1.0, 2)
        degrees = rng.uniform(0, 360)
        for scale, value in [(1.0, 1.0), (0.85, 0.85), (0.55, 0.6), (0.35, 0.4)]:
            draw.draw_ellipse(layer, place, scale * radii, degrees, value)


def _draw_nucleus(rng: Generator, layer: Layer, kind: CellKind, centre: NDArray[np.float64], radius: float) -> None:
    lobes = int(rng.integers(kind.lobes[0], kind.lobes[1], endpoint=True))
    half_span = np.deg2rad(rng.uniform(*kind.span)) / 2
    start = rng.uniform(0, 2 * np.pi)
    arc = radius * rng.uniform(*kind.arc)
    lobe = radius * rng.uniform(*kind.lobe)
    # An arc lies to one side of its centre: shifted back, the nucleus is near the middle of the cell.
    middle = centre - draw.polar(0.3 * arc * (1 - half_span / np.pi), start)
    path = start + np.linspace(-half_span, half_span, 24)
    draw.draw_path(layer, middle + draw.polar(arc, path), 2 * lobe * rng.uniform(*kind.waist), 1.0)
    for angle in start + (np.linspace(-half_span, half_span, lobes) if lobes > 1 else np.zeros(1)):
        radii = lobe * rng.uniform(0.88, 1.12, 2)
        draw.draw_ellipse(layer, middle + draw.polar(arc, angle), radii, np.rad2deg(angle), 1.0)


def _stain(rng: Generator, parts: Layer, kind: CellKind, appearance: SlideAppearance) -> Layer:
    """Return the (size, size, 3) picture, 0 to 1, of the parts (size, size, 4)."""
    size = parts.shape[0]
    cell, nucleus, large, small = np.moveaxis(parts, -1, 0)
    chromatin = 1 + 0.16 * draw.smooth_noise(rng, size, 20)
    grain = 1 + 0.10 * draw.smooth_noise(rng, size, 30)
    outside = 1 - cell
    stains = [
        large * outside,
        cell * (1 - nucleus) * (1 - large) * grain,
        nucleus * chromatin + small * outside * grain,
        small * cell * (1 - (1 - kind.over_nucleus) * nucleus),
    ]
    colours = draw.absorbance(RED_CELL, kind.cytoplasm, NUCLEAR, kind.granule_colour)
    return draw.transmit(rng, np.stack(stains, axis=-1), colours, appearance)
