"""H&E-like tissue, for the generated set `tissue_patches`."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from trainables.data.synthetic import draw
from trainables.data.synthetic.draw import Colour, Layer, Picture, Range, SlideAppearance

TISSUE_CLASSES = ("normal", "tumour")

_EOSIN: Colour = (232, 160, 196)
_HAEMATOXYLIN: Colour = (92, 70, 150)


def paint_tissue(rng: Generator, appearance: SlideAppearance, name: str, size: int) -> Picture:
    """Draw one patch; it has no mask.

    Args:
        rng: source of randomness.
        appearance: of the slide.
        name: of the class.
        size: edge in pixels.
    """
    stroma, nuclei = draw.blank(size), draw.blank(size)
    side = nuclei.shape[0]
    stroma[:] = 0.75
    for _ in range(int(rng.integers(0, 4))):  # gaps and fat: white in tissue of either class
        draw.draw_ellipse(stroma, rng.uniform(0, side, 2), side * rng.uniform(0.04, 0.14, 2), 0, 0.05)
    _draw_nuclei(rng, nuclei, int(rng.integers(20, 50)), 0.75, (0.018, 0.034), (0.4, 0.8))
    if name == "tumour":
        _draw_nuclei(rng, nuclei, int(rng.integers(14, 26)), 0.26, (0.034, 0.062), (0.7, 1.15))
    elif rng.uniform() < 0.5:  # inflammation: crowded at the centre too, but with small nuclei
        _draw_nuclei(rng, nuclei, int(rng.integers(14, 40)), 0.26, (0.018, 0.034), (0.6, 1.0))
    parts = draw.shrink(draw.warp(rng, [stroma, nuclei], 9, 0.012 * side))
    fibres = 1 + 0.2 * draw.smooth_noise(rng, size, 9) + 0.12 * draw.smooth_noise(rng, size, 28)
    chromatin = 1 + 0.18 * draw.smooth_noise(rng, size, 24)
    stains = np.stack([parts[..., 0] * fibres, parts[..., 1] * chromatin], axis=-1)
    picture = draw.transmit(rng, stains, draw.absorbance(_EOSIN, _HAEMATOXYLIN), appearance)
    return draw.photograph(rng, picture, (0.3, 0.8), (2, 6)), None


def _draw_nuclei(rng: Generator, layer: Layer, count: int, reach: float, radius: Range, darkness: Range) -> None:
    """Draw nuclei in place, within `reach` of the middle; reach and radius are in edges of the layer."""
    side = layer.shape[0]
    distance = side * reach * np.sqrt(rng.uniform(size=count))
    places = side / 2 + draw.polar(distance, rng.uniform(0, 2 * np.pi, count))
    radii = side * rng.uniform(*radius, (count, 1)) * rng.uniform(0.7, 1.3, (count, 2))
    degrees, values = rng.uniform(0, 360, count), rng.uniform(*darkness, count)
    for place, axes, angle, value in zip(places, radii, degrees, values, strict=True):
        draw.draw_ellipse(layer, place, axes, float(angle), float(value))
