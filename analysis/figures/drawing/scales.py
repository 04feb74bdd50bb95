"""Scales, ticks, and the frame of a diagram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analysis.figures.drawing.shapes import Point, Polyline, Shape, Text


@dataclass(frozen=True)
class Scale:
    """An axis of a diagram.

    Attributes:
        low: value at its beginning; above 0 if ``log``.
        high: value at its end.
        log: whether it is logarithmic.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], log: bool = False) -> Scale:
        """Return a scale that holds all finite values, with a margin.

        Args:
            values: at a logarithmic scale those of 0 and below are ignored.
            log: whether the scale is logarithmic.
        """
        found = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(found), max(found)) if found else (0.1 if log else 0.0, 1.0)
        if log:
            return cls(low / 1.1, high * 1.1, True)
        room = 0.05 * (high - low) or 0.05 * (abs(high) or 1)
        return cls(low - room, high + room)

    def share(self, value: float) -> float:
        """Return the relative position of a value: 0 at ``low``, 1 at ``high``."""
        if self.log:
            if value <= 0:
                return -math.inf
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> tuple[float, ...]:
        """Return round values, about ``most`` of them at most."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, most)


@dataclass(frozen=True)
class Panel:
    """Area and axes of a diagram; (x, y) is its upper left corner, lengths are pixels."""

    x: float
    y: float
    width: float
    height: float
    across: Scale
    up: Scale

    def place(self, x: float, y: float) -> Point:
        """Return the position of a point in pixels; values beyond a scale are clipped to its end.

        Args:
            x: value on the horizontal scale.
            y: value on the vertical scale.
        """
        return self.x + self.width * _within(self.across.share(x)), self.y + self.height * (
            1 - _within(self.up.share(y))
        )

    def curve(self, xs: Sequence[float], ys: Sequence[float]) -> tuple[Point, ...]:
        """Return the positions of a curve in pixels; points that are not finite are left out.

        Args:
            xs: values on the horizontal scale.
            ys: values on the vertical scale, as many.
        """
        return tuple(self.place(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y))

    def frame(self, across: str, up: str, integers: bool = False) -> Iterator[Shape]:
        """Yield grid lines, ticks and labels.

        Args:
            across: label of the horizontal axis.
            up: label of the vertical axis.
            integers: whether the horizontal axis has ticks at integers only.
        """
        bottom = self.y + self.height
        for value in self.up.ticks(5):
            y = self.place(self.across.low, value)[1]
            yield Polyline(((self.x, y), (self.x + self.width, y)), "line")
            yield Text(self.x - 6, y + 4, tick_text(value), "soft", anchor="end")
        for value in self.across.ticks():
            if integers and value != round(value):
                continue
            x = self.place(value, self.up.low)[0]
            yield Polyline(((x, bottom), (x, bottom + 4)), "soft")
            yield Text(x, bottom + 16, tick_text(value), "soft", anchor="middle")
        yield Polyline(((self.x, bottom), (self.x + self.width, bottom)), "soft")
        yield Text(self.x + self.width / 2, bottom + 32, across, anchor="middle")
        yield Text(self.x - 36, self.y - 8, up)


def tick_text(value: float) -> str:
    """Format the value of a tick: 0.05, 1e-05, 20."""
    return f"{value:.4g}".replace("e-0", "e-").replace("-", "−")


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return tuple(round(place * step, 12) + 0.0 for place in range(first, math.floor(high / step + 1e-9) + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = tuple(f * 10.0**power for power in powers for f in factors if low <= f * 10.0**power <= high)
        if len(found) >= 3:
            return found
    return found
