"""Drawing primitives. Lengths are pixels, y grows downwards; colours are roles, resolved for a light or dark page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["paper", "ink", "soft", "line", "accent", "second", "heat", "on-low", "on-high"]
Anchor = Literal["start", "middle", "end"]
Form = Literal["dot", "square", "diamond"]
Point = tuple[float, float]
LETTER = 0.62
"""Mean width of a character relative to the font size: exact enough to leave room for labels."""


@dataclass(frozen=True)
class Polyline:
    """A line through points.

    Attributes:
        dash: lengths of dashes and gaps in turn; empty: solid.
    """

    points: tuple[Point, ...]
    role: Role = "ink"
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0


@dataclass(frozen=True)
class Box:
    """A filled rectangle; (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    role: Role = "heat"
    opacity: float = 1.0


@dataclass(frozen=True)
class Marker:
    """A point of a diagram; a hollow one is filled with the background colour."""

    x: float
    y: float
    radius: float = 4.0
    role: Role = "accent"
    form: Form = "dot"
    hollow: bool = False


@dataclass(frozen=True)
class Text:
    """A line of text with its base line at (x, y).

    Attributes:
        turn: rotation about (x, y), degrees clockwise.
    """

    x: float
    y: float
    text: str
    role: Role = "ink"
    size: float = 11.0
    anchor: Anchor = "start"
    turn: float = 0.0
    bold: bool = False


Shape = Polyline | Box | Marker | Text


@dataclass(frozen=True)
class Drawing:
    """A drawing.

    Attributes:
        title: heading, also read first by a screen reader.
        description: the content in words, for screen readers.
        shapes: drawn in this order.
    """

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]


def width_of(text: str, size: float) -> float:
    """Estimate the width of a text.

    Args:
        text: on one line.
        size: of the font, pixels.
    """
    return len(text) * size * LETTER
