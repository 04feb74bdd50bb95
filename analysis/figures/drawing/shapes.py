"""What drawings are made of. Lengths are pixels, y grows downwards; colours are roles, so that a page may be dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["paper", "ink", "soft", "line", "accent", "second", "heat", "on-low", "on-high"]
Anchor = Literal["start", "middle", "end"]
Form = Literal["dot", "square", "diamond"]
Point = tuple[float, float]
LETTER = 0.62
"""Mean width of a letter, of the size of its font: enough to leave room for labels."""


@dataclass(frozen=True)
class Polyline:
    """A line through points; ``dash``: lengths drawn and left out."""

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
    """A point of a diagram; hollow marks show the paper inside."""

    x: float
    y: float
    radius: float = 4.0
    role: Role = "accent"
    form: Form = "dot"
    hollow: bool = False


@dataclass(frozen=True)
class Text:
    """A line of text, its base line at (x, y); ``turn``: degrees clockwise about that point."""

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
        title: what it is, in a line: drawn, and what a screen reader says first.
        told: what it shows, in words, for who cannot see it.
    """

    width: float
    height: float
    title: str
    told: str
    shapes: tuple[Shape, ...]


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many letters; one that was cut ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def width_of(text: str, size: float) -> float:
    """Return about how wide a text is."""
    return len(text) * size * LETTER
