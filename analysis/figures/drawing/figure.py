"""A figure of the report: a drawing, what is said below it, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.figures.drawing.shapes import Drawing
from trainables.hashing import readable


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption.

    Attributes:
        name: of its files.
        sources: the stage folders it was made from.
        group: of figures that the page shows together.
    """

    name: str
    drawing: Drawing
    caption: str = ""
    sources: tuple[str, ...] = ()
    group: str = ""


def file_name(*parts: str) -> str:
    """Return a name for the files of a figure."""
    return "-".join(map(readable, parts))


def distinct(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Number the figures whose names would fall together, on systems that know no capitals too."""
    used: set[str] = set()
    found = []
    for figure in figures:
        name, number = figure.name, 1
        while name.lower() in used:
            number += 1
            name = f"{figure.name}-{number}"
        used.add(name.lower())
        found.append(replace(figure, name=name))
    return tuple(found)
