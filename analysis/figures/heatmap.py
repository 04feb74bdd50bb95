"""Heat maps with a number in each cell, so that colour is never the only sign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.figures.drawing.palette import TURNS
from analysis.figures.drawing.shapes import Box, Drawing, Polyline, Role, Shape, Text, shortened, width_of

LONGEST = 22
"""Letters of a name that are shown."""
SIZE = 11.0
LEAST = 0.005
"""A smaller share would be shown as 0: its place stays empty."""


def heat_drawing(
    title: str,
    told: str,
    lines: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float | None]],
    sides: tuple[str, str],
    scale: str,
    longest: int = LONGEST,
) -> Drawing:
    """Draw shares between 0 and 1 as percentages.

    Args:
        title: above the drawing.
        told: what it shows, in words.
        lines: names of the lines.
        columns: names of the columns.
        shares: a value for each line and column; None where there is none.
        sides: what lines and what columns are.
        scale: what the shares are.
        longest: letters of a line's name that are shown.
    """
    names, heads = [shortened(name, longest) for name in lines], [shortened(name, LONGEST) for name in columns]
    edge = 22.0 if len(columns) > 12 else 34.0
    left = 34 + max(width_of(name, SIZE) for name in names)
    # Column names stand upright above narrow columns.
    top = 62 + max(width_of(name, SIZE) for name in heads)
    width, height = len(columns) * edge, len(lines) * edge
    shapes: list[Shape] = [Text(4, 20, title, size=13, bold=True)]
    shapes.append(Text(left + width / 2, 44, sides[1], "soft", SIZE, "middle"))
    shapes.append(Text(16, top + height / 2, sides[0], "soft", SIZE, "middle", turn=-90))
    shapes += [
        Text(left + (place + 0.5) * edge + 4, top - 8, name, "ink", SIZE, turn=-90) for place, name in enumerate(heads)
    ]
    shapes += [
        Text(left - 8, top + (place + 0.5) * edge + 4, name, "ink", SIZE, "end") for place, name in enumerate(names)
    ]
    shapes += _cells(left, top, edge, shares)
    shapes += _key(16, top + height + 14, scale)
    whole = max(left + width + 16, width_of(title, 13) + 30, 148 + width_of(_scaled(scale), SIZE))
    return Drawing(whole, top + height + 44, title, told, tuple(shapes))


def _cells(left: float, top: float, edge: float, shares: Sequence[Sequence[float | None]]) -> Iterator[Shape]:
    places = [
        (left + column * edge, top + line * edge, share)
        for line, of_line in enumerate(shares)
        for column, share in enumerate(of_line)
    ]
    shown = [(x, y, share) for x, y, share in places if share is not None and share >= LEAST]
    yield from (Box(x + 0.5, y + 0.5, edge - 1, edge - 1, "heat", share) for x, y, share in shown)
    # Sorted by colour, so that the many numbers of one colour are written as one group.
    for role in ("on-low", "on-high"):
        for x, y, share in shown:
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
    yield Text(x + 22 * len(steps) + 8, y + 10, _scaled(scale), "soft", SIZE)


def _scaled(scale: str) -> str:
    return f"0 to 100 % {scale}"


def _role(share: float) -> Role:
    return "on-high" if share >= TURNS else "on-low"
