"""Drawing primitives shared by the generated image sets.

Shapes are drawn hard-edged on float32 layers larger than the picture, warped by one smooth random displacement field, and
shrunk: edges become smooth and no outline is a perfect circle. The colours of stained specimens follow the Beer-Lambert
law: light × exp(-amount of stain × its absorbance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Layer = NDArray[np.float32]
Range = tuple[float, float]
"""(low, high)."""
Colour = tuple[int, int, int]
"""8-bit R, G, B."""
Picture = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""An image (size, size, 3) in RGB and its mask (size, size), if it has one."""

SUPERSAMPLING = 2


@dataclass(frozen=True)
class SlideAppearance:
    """How a slide was stained and lit, whatever is on it.

    Attributes:
        gain: (3,) factor on the absorbance of every stain, in R, G, B.
        light: (3,) light behind the slide, in R, G, B; 1 saturates the camera.
    """

    gain: NDArray[np.float64]
    light: NDArray[np.float64]

    def varied(self, rng: Generator, spread: float) -> SlideAppearance:
        """Return a random appearance near this one.

        Args:
            rng: source of randomness.
            spread: standard deviation of the log gains.
        """
        strength = rng.normal(0.0, spread)
        hue = rng.normal(0.0, spread, 3)
        tint = rng.normal(0.0, spread / 8, 3) + rng.normal(0.0, spread / 4)
        return SlideAppearance(self.gain * np.exp(strength + hue), np.clip(self.light * np.exp(tint), 0.6, 1.0))


NEUTRAL_APPEARANCE = SlideAppearance(gain=np.ones(3), light=np.full(3, 0.93))


def blank(size: int) -> Layer:
    """Return an empty (size × SUPERSAMPLING, size × SUPERSAMPLING) layer to draw on."""
    side = size * SUPERSAMPLING
    return np.zeros((side, side), np.float32)


def draw_ellipse(
    layer: Layer, centre: ArrayLike, radii: ArrayLike, degrees: float, value: float | Sequence[float]
) -> None:
    """Fill an ellipse in place.

    Args:
        layer: (side, side), or (side, side, 3).
        centre: (x, y), pixels of the layer.
        radii: two, pixels of the layer.
        degrees: angle of the first radius.
        value: one number, or three for a layer of three channels.
    """
    x, y = np.rint(np.asarray(centre, dtype=np.float64)).astype(int).tolist()
    a, b = np.maximum(np.rint(np.asarray(radii, dtype=np.float64)), 1).astype(int).tolist()
    cv2.ellipse(layer, (x, y), (a, b), degrees, 0, 360, np.atleast_1d(value).tolist(), cv2.FILLED)


def draw_path(layer: Layer, points: NDArray[np.float64], width: float, value: float) -> None:
    """Draw an open polyline in place.

    Args:
        layer: (side, side).
        points: (n, 2), each (x, y), pixels of the layer.
        width: of the line, pixels of the layer.
        value: to draw with.
    """
    cv2.polylines(layer, [np.rint(points).astype(np.int32)], False, (value,), max(1, round(width)))


def scatter(
    rng: Generator, layer: Layer, count: int, centre: ArrayLike, reach: Range, radius: ArrayLike, value: float
) -> None:
    """Fill discs in place, distributed evenly over a ring.

    Args:
        rng: source of randomness.
        layer: (side, side).
        count: number of discs.
        centre: (x, y) of the ring, pixels of the layer.
        reach: inner and outer radius of the ring, pixels of the layer.
        radius: smallest and largest radius of a disc, pixels of the layer.
        value: to fill with.
    """
    # The square root makes the discs even in area; without it they would crowd the middle.
    distance = np.sqrt(rng.uniform(reach[0] ** 2, reach[1] ** 2, count))
    places = np.asarray(centre) + polar(distance, rng.uniform(0.0, 2 * np.pi, count))
    low, high = np.asarray(radius)
    for place, size in zip(places, rng.uniform(low, high, count), strict=True):
        draw_ellipse(layer, place, (size, size), 0.0, value)


def polar(distance: ArrayLike, radians: ArrayLike) -> NDArray[np.float64]:
    """Return polar coordinates as (x, y).

    Args:
        distance: shape (...).
        radians: angles, shape (...).

    Returns:
        Shape (..., 2).
    """
    angle = np.asarray(radians, dtype=np.float64)
    length = np.asarray(distance, dtype=np.float64)
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=-1)


def smooth_noise(rng: Generator, side: int, cells: float) -> Layer:
    """Return smooth noise of about unit variance, (side, side).

    Args:
        rng: source of randomness.
        side: edge in pixels.
        cells: number of bumps along an edge, about.
    """
    grid = rng.standard_normal((round(cells) + 1,) * 2, dtype=np.float32)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def warp(rng: Generator, layers: list[Layer], cells: float, amplitude: float) -> Layer:
    """Stack layers and warp them by one displacement field, so that nested shapes stay nested.

    Args:
        rng: source of randomness.
        layers: n of (side, side).
        cells: bumps of the field along an edge.
        amplitude: standard deviation of the displacement, pixels of the layers.

    Returns:
        (side, side, n).
    """
    side = layers[0].shape[0]
    axis = np.arange(side, dtype=np.float32)
    x = axis[None, :] + np.float32(amplitude) * smooth_noise(rng, side, cells)
    y = axis[:, None] + np.float32(amplitude) * smooth_noise(rng, side, cells)
    warped = cv2.remap(cv2.merge(layers), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, np.float32)


def shrink(drawn: Layer) -> Layer:
    """Return a supersampled drawing, (side, side[, n]), at the size of the picture."""
    side = drawn.shape[0] // SUPERSAMPLING
    return np.asarray(cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def absorbance(*colours: Colour) -> NDArray[np.float64]:
    """Return (n, 3) absorbances of stains that turn white light into these 8-bit RGB colours."""
    return -np.log(np.array(colours, dtype=np.float64) / 255)


def transmit(rng: Generator, stains: Layer, absorbances: NDArray[np.float64], appearance: SlideAppearance) -> Layer:
    """Return what a camera sees through a stained slide, by the Beer-Lambert law, under uneven light.

    Args:
        rng: source of randomness.
        stains: (size, size, n) amounts of n stains.
        absorbances: (n, 3), in R, G, B.
        appearance: of the slide.

    Returns:
        (size, size, 3), 0 to 1.
    """
    depth = stains @ (absorbances * appearance.gain).astype(np.float32)
    uneven = 1 + 0.03 * smooth_noise(rng, stains.shape[0], 1)
    return np.asarray(appearance.light.astype(np.float32) * uneven[..., None] * np.exp(-depth), np.float32)


def photograph(rng: Generator, picture: Layer, blur: Range, noise: Range) -> NDArray[np.uint8]:
    """Return a picture out of focus and noisy, as 8-bit RGB.

    Args:
        rng: source of randomness.
        picture: (size, size, 3), 0 to 1.
        blur: range of the standard deviation of the blur, in 1/64 of the edge.
        noise: range of the standard deviation of the noise, in 8-bit grey levels.
    """
    sigma = rng.uniform(*blur) * picture.shape[0] / 64
    grain = rng.uniform(*noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma) * np.float32(255) + grain
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
