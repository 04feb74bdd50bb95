"""Heat maps as arrays: enlargement, and maps that know nothing of the network, to compare with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

HeatMaps = NDArray[np.float32]


def enlarge(maps: HeatMaps, edge: int) -> HeatMaps:
    """Enlarge maps by bilinear interpolation and scale the maximum of each to 1.

    Args:
        maps: shape (n, rows, columns).
        edge: of the result, pixels.

    Returns:
        shape (n, edge, edge).
    """
    large = np.stack([cv2.resize(one, (edge, edge), interpolation=cv2.INTER_LINEAR) for one in maps])
    top = large.max((1, 2), keepdims=True)
    return np.asarray(np.divide(large, top, out=np.zeros_like(large), where=top > 0), dtype=np.float32)


def is_flat(one: HeatMaps) -> bool:
    """Return whether a map (rows, columns) is constant and thus carries no information."""
    return bool(np.ptp(one) < 1e-6)


def centred_gaussian(edge: int, spread: float = 0.25) -> HeatMaps:
    """Return a Gaussian at the centre of the image: objects tend to lie there.

    Args:
        edge: of the map, pixels.
        spread: standard deviation relative to the edge.

    Returns:
        shape (edge, edge).
    """
    axis = (np.arange(edge) - (edge - 1) / 2) / (spread * edge)
    return np.asarray(np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2), dtype=np.float32)


def random_map(grid: tuple[int, int], edge: int, seed: int) -> HeatMaps:
    """Return a map of uniform random numbers at a given resolution, enlarged.

    Args:
        grid: rows and columns of the random numbers.
        edge: of the result, pixels.
        seed: of the random numbers.

    Returns:
        shape (edge, edge).
    """
    noise = np.random.default_rng(seed).random(grid, dtype=np.float32)
    large: HeatMaps = enlarge(noise[np.newaxis], edge)[0]
    return large
