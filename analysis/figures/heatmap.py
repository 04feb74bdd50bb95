"""Heat maps with a number in each cell, so that they can be read without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.figures.drawing.palette import DARK_FROM
from analysis.figures.drawing.shapes import Box, Drawing, Polyline, Role, Shape, Text, width_of
from analysis.formats.number_format import shortened

LONGEST = 22
"""Characters of a name that are shown."""
SIZE = 11.0
LEAST = 0.005
"""A smaller share would be printed as 0; its cell stays empty."""


@dataclass(frozen=True)
class ShareMatrix:
    """Shares between 0 and 1 with names.

    Attributes:
        lines: names of the lines.
        columns: names of the columns.
        shares: a value per line and column; None where there is none.
        axes: what lines and what columns are.
        unit: what the percentages are of.
    """

    lines: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float | None]]
    axes: tuple[str, str]
    unit: str


def heat_drawing(title: str, description: str, matrix: ShareMatrix, longest: int = LONGEST) -> Drawing:
    """Draw shares as percentages.

    Args:
        title: above the drawing.
        description: content of the drawing in words.
        matrix: at least one line and one column.
        longest: characters of a line's name that are shown.
    """
    names = [shortened(name, longest) for name in matrix.lines]
    heads = [shortened(name, LONGEST) for name in matrix.columns]
    edge = 22.0 if len(heads) > 12 else 34.0
    left = 34 + max(width_of(name, SIZE) for name in names)
    top = 62 + max(width_of(name, SIZE) for name in heads)  # column names are vertical
    width, height = len(heads) * edge, len(names) * edge
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    shapes.append(Text(left + width / 2, 44, matrix.axes[1], "soft", SIZE, "middle"))
    shapes.append(Text(16, top + height / 2, matrix.axes[0], "soft", SIZE, "middle", turn=-90))
    shapes += [
        Text(left + (place + 0.5) * edge + 4, top - 8, name, "ink", SIZE, turn=-90) for place, name in enumerate(heads)
    ]
    shapes += [
        Text(left - 8, top + (place + 0.5) * edge + 4, name, "ink", SIZE, "end") for place, name in enumerate(names)
    ]
    shapes += _cells(left, top, edge, matrix.shares)
    scale = f"0 to 100 % {matrix.unit}"
    shapes += _key(16, top + height + 14, scale)
    total_width = max(left + width + 16, width_of(title, 13) + 30, 148 + width_of(scale, SIZE))
    return Drawing(total_width, top + height + 44, title, description, tuple(shapes))


def _cells(left: float, top: float, edge: float, shares: Sequence[Sequence[float | None]]) -> Iterator[Shape]:
    places = [
        (left + column * edge, top + line * edge, share)
        for line, of_line in enumerate(shares)
        for column, share in enumerate(of_line)
    ]
    filled = [(x, y, share) for x, y, share in places if share is not None and share >= LEAST]
    yield from (Box(x + 0.5, y + 0.5, edge - 1, edge - 1, "heat", share) for x, y, share in filled)
    # Sorted by colour: neighbouring texts of one colour become one group of the SVG.
    for role in ("on-low", "on-high"):
        for x, y, share in filled:
            if _role(share) == role:
                yield Text(x + edge / 2, y + edge / 2 + 4, f"{100 * share:.0f}", _role(share), 10, "middle")
    dash = [(x, y) for x, y, share in places if share is None]
    yield from (Text(x + edge / 2, y + edge / 2 + 4, "–", "soft", 10.5, "middle") for x, y in dash)
    width, height = len(shares[0]) * edge, len(shares) * edge
    corners = ((left, top), (left + width, top), (left + width, top + height), (left, top + height), (left, top))
    yield Polyline(corners, "line")


def _key(x: float, y: float, scale: str) -> Iterator[Shape]:
    steps = (0.02, 0.25, 0.5, 0.75, 1.0)
    yield from (Box(x + 22 * place, y, 21, 12, "heat", share) for place, share in enumerate(steps))
    yield Text(x + 22 * len(steps) + 8, y + 10, scale, "soft", SIZE)


def _role(share: float) -> Role:
    return "on-high" if share >= DARK_FROM else "on-low"
