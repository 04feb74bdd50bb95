"""How a new data set is read where nothing is said: the second edition. The fields' own defaults are the first."""

from __future__ import annotations

from typing import Any

FIRST, LATEST = 1, 2
MENDED: dict[str, tuple[Any, str]] = {
    "orientation": ("upright", "images are turned as viewers show them"),
    "background": ("white", "transparent pixels are laid on white, instead of showing the colour hidden there"),
    "depth": ("scale", "16-bit and float images are scaled by the range of their type, instead of clipped to white"),
    "keep": ([], "damaged JPEGs and images with contradicting labels are left out"),
    "tidy": (True, "hidden and system files are skipped, labels stripped, missing ones and uneven rows refused"),
    "duplicates": ("pixels", "copies of pixels and near copies stay together in the split, not those of bytes alone"),
}
"""Field -> its value since the second edition, and what that changes."""


def fill_reading_defaults(spec: dict[str, Any], edition: int) -> None:
    """Write the reading rules of an edition into a data set's specification, in place, where it is silent.

    Args:
        spec: as a grid gives it under ``data: NAME:``.
        edition: 1 or 2.
    """
    if edition > FIRST:
        for field, (value, _) in MENDED.items():
            spec.setdefault(field, value)
