"""A figure of the report: a drawing with its caption and the stages it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.figures.drawing.shapes import Drawing
from trainables.hashing import readable


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption.

    Attributes:
        name: file name without ending.
        drawing: the drawing.
        caption: text below it.
        sources: names of the stage folders it was made from.
        group: figures of a group are shown together on the page.
    """

    name: str
    drawing: Drawing
    caption: str = ""
    sources: tuple[str, ...] = ()
    group: str = ""


def file_name(*parts: str) -> str:
    """Join labels to a file name; characters that are unsafe in file names become ``_``."""
    return "-".join(map(readable, parts))


def distinct(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Number figures of the same name; names that differ only in case count as the same (file systems)."""
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
