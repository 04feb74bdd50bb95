"""Drawn landscapes, for the generated set `scenes`."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainables.data.synthetic import draw
from trainables.data.synthetic.draw import Layer, Picture, SlideAppearance

SCENE_CLASSES = ("houses", "trees")

# The same colours serve both classes, so that they do not tell houses from trees.
_SKIES = ((120, 175, 230), (200, 215, 230), (235, 180, 140), (90, 110, 160))
_GROUNDS = ((110, 160, 80), (190, 170, 110), (225, 230, 235), (130, 120, 100))
_BODIES = ((70, 130, 60), (200, 120, 50), (170, 60, 50), (220, 205, 170), (150, 160, 170), (225, 170, 190))
_DETAILS = ((95, 65, 45), (60, 50, 60), (150, 110, 80), (120, 60, 45))


def paint_scene(rng: Generator, appearance: SlideAppearance, name: str, size: int) -> Picture:
    """Draw one landscape; it has no mask.

    Args:
        rng: source of randomness.
        appearance: its light serves as daylight.
        name: of the class.
        size: edge in pixels.
    """
    side = size * draw.SUPERSAMPLING
    scene = np.empty((side, side, 3), np.float32)
    horizon = rng.uniform(0.45, 0.7) * side
    _draw_land(rng, scene, horizon)
    things = int(rng.integers(1, 4))
    feet = np.sort(rng.uniform(horizon, 0.95 * side, things))  # far ones first: near ones hide them
    for foot in feet:
        near = 0.5 + 0.6 * (foot - horizon) / (side - horizon)
        height = near * side * rng.uniform(0.55, 0.8)
        place = np.array([rng.uniform(0.15, 0.85) * side, foot])
        paint = _draw_house if name == "houses" else _draw_tree
        paint(rng, scene, place, height)
    light = (appearance.light / draw.NEUTRAL_APPEARANCE.light).astype(np.float32)
    return draw.photograph(rng, draw.shrink(scene) * light, (0.3, 0.8), (2, 6)), None


def _draw_land(rng: Generator, scene: Layer, horizon: float) -> None:
    side = scene.shape[0]
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    rows = np.arange(side)[:, None] + 0.03 * side * draw.smooth_noise(rng, side, 3)[:1]
    sky = _pick(rng, _SKIES) * (1 - down) + down
    ground = _pick(rng, _GROUNDS) * (1 + 0.06 * draw.smooth_noise(rng, side, 16))[..., None]
    scene[:] = np.where(rows[..., None] < horizon, sky, ground)
    for _ in range(int(rng.integers(0, 3))):
        cloud = rng.uniform(0, side), rng.uniform(0, 0.6) * horizon
        radii = side * rng.uniform(0.06, 0.2), side * rng.uniform(0.03, 0.08)
        draw.draw_ellipse(scene, cloud, radii, 0, (0.95, 0.95, 0.97))


def _draw_house(rng: Generator, scene: Layer, foot: NDArray[np.float64], height: float) -> None:
    wall, roof, detail = _pick(rng, _BODIES), _pick(rng, _BODIES + _DETAILS), _pick(rng, _DETAILS)
    half, eaves = height * rng.uniform(0.35, 0.6), height * rng.uniform(0.5, 0.65)
    over = half * rng.uniform(1.05, 1.25)
    _fill_box(scene, foot, (-half, half), (0, eaves), wall)
    _fill_polygon(scene, foot, [(-over, eaves), (over, eaves), (rng.uniform(-0.4, 0.4) * half, height)], roof)
    door = rng.uniform(-0.5, 0.5) * half
    _fill_box(scene, foot, (door - 0.13 * half, door + 0.13 * half), (0, 0.6 * eaves), detail)
    for window in (-0.65, 0.0, 0.65):
        if abs(window * half - door) > 0.35 * half:
            x = window * half
            _fill_box(scene, foot, (x - 0.15 * half, x + 0.15 * half), (0.4 * eaves, 0.75 * eaves), detail)


def _draw_tree(rng: Generator, scene: Layer, foot: NDArray[np.float64], height: float) -> None:
    crown, trunk = _pick(rng, _BODIES), _pick(rng, _DETAILS)
    width = height * rng.uniform(0.04, 0.09)
    _fill_box(scene, foot, (-width, width), (0, 0.6 * height), trunk)
    for _ in range(int(rng.integers(5, 12))):
        place = foot + height * np.array([rng.uniform(-0.25, 0.25), -rng.uniform(0.45, 0.85)])
        leaves = np.clip(crown * rng.uniform(0.8, 1.15), 0, 1)
        draw.draw_ellipse(scene, place, height * rng.uniform(0.1, 0.22, 2), 0, leaves.tolist())


def _pick(rng: Generator, colours: tuple[draw.Colour, ...]) -> NDArray[np.float32]:
    colour = np.array(colours[int(rng.integers(len(colours)))]) / 255 * rng.normal(1, 0.08, 3)
    return np.clip(colour, 0, 1).astype(np.float32)


def _fill_box(
    scene: Layer, foot: NDArray[np.float64], across: draw.Range, up: draw.Range, colour: NDArray[np.float32]
) -> None:
    corners = [(across[0], up[0]), (across[1], up[0]), (across[1], up[1]), (across[0], up[1])]
    _fill_polygon(scene, foot, corners, colour)


def _fill_polygon(
    scene: Layer, foot: NDArray[np.float64], points: list[tuple[float, float]], colour: NDArray[np.float32]
) -> None:
    """Fill a polygon in place; its points are (pixels right of, pixels above) the foot."""
    corners = np.rint(foot + np.array(points) * (1, -1)).astype(np.int32)
    cv2.fillPoly(scene, [corners], colour.tolist())
