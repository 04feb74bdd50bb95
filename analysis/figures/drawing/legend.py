"""Legends: a line of samples, each with its word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from analysis.figures.drawing.shapes import Marker, Polyline, Shape, Text, width_of

SIZE = 11.0
Sample = Callable[[float, float], Shape]


def legend(x: float, y: float, entries: Sequence[tuple[Sample, str]]) -> Iterator[Shape]:
    """Yield samples with their words from (x, y) to the right."""
    for sample, word in entries:
        yield sample(x, y - 4)
        room = 18 if isinstance(sample(x, y - 4), Marker) else 28
        yield Text(x + room, y, word, "soft", SIZE)
        x += room + width_of(word, SIZE) + 12


def line_sample(like: Polyline) -> Sample:
    """Return a sample of a line."""
    return lambda x, y: Polyline(((x, y), (x + 22, y)), like.role, like.width, like.dash, like.opacity)


def mark_sample(like: Marker) -> Sample:
    """Return a sample of a mark."""
    return lambda x, y: Marker(x + 7, y, like.radius, like.role, like.form, like.hollow)
