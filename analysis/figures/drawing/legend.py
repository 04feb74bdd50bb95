"""Legends: a line of samples with their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from analysis.figures.drawing.shapes import Marker, Polyline, Shape, Text, width_of

SIZE = 11.0
Sample = Callable[[float, float], Shape]


def legend(x: float, y: float, entries: Sequence[tuple[Sample, str]]) -> Iterator[Shape]:
    """Yield samples with their labels, from left to right.

    Args:
        x: left end, pixels.
        y: base line of the text, pixels.
        entries: sample and label.
    """
    for sample, label in entries:
        yield sample(x, y - 4)
        room = 18 if isinstance(sample(x, y - 4), Marker) else 28
        yield Text(x + room, y, label, "soft", SIZE)
        x += room + width_of(label, SIZE) + 12


def line_sample(like: Polyline) -> Sample:
    """Return a sample of a line."""
    return lambda x, y: Polyline(((x, y), (x + 22, y)), like.role, like.width, like.dash, like.opacity)


def mark_sample(like: Marker) -> Sample:
    """Return a sample of a mark."""
    return lambda x, y: Marker(x + 7, y, like.radius, like.role, like.form, like.hollow)
