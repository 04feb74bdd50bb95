"""A drawing as SVG. The page embeds it and recolours it by CSS class; as a file it stands alone."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby

from analysis.figures.drawing.palette import LIGHT
from analysis.figures.drawing.shapes import Box, Drawing, Marker, Polyline, Shape, Text

FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"


def as_svg(drawing: Drawing) -> str:
    """Return an SVG element; all texts are escaped."""
    width, height = _number(drawing.width), _number(drawing.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONTS}" font-size="11">'
    )
    texts = f"<title>{_escape(drawing.title)}</title><desc>{_escape(drawing.description)}</desc>"
    return f"{head}{texts}{_groups(drawing.shapes)}</svg>"


def as_file(drawing: Drawing) -> bytes:
    """Return the content of an SVG file: the drawing on white."""
    paper = Box(0, 0, drawing.width, drawing.height, "paper")
    whole = Drawing(drawing.width, drawing.height, drawing.title, drawing.description, (paper, *drawing.shapes))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{as_svg(whole)}\n'.encode()


def _groups(shapes: Iterable[Shape]) -> str:
    """Write attributes that neighbouring shapes share once: a heat map has hundreds of similar boxes."""
    return "".join(
        f"<g {common}>{''.join(map(_element, of_group))}</g>" for common, of_group in groupby(shapes, key=_common)
    )


def _common(shape: Shape) -> str:
    if isinstance(shape, Polyline):
        dash = f' stroke-dasharray="{" ".join(map(_number, shape.dash))}"' if shape.dash else ""
        return (
            f'class="s-{shape.role}" fill="none" stroke="{LIGHT[shape.role]}" stroke-width="{_number(shape.width)}" '
            f'stroke-linejoin="round"{dash}'
        )
    fill = "paper" if isinstance(shape, Marker) and shape.hollow else shape.role
    parts = f'class="f-{fill}" fill="{LIGHT[fill]}"'
    if isinstance(shape, Marker):
        # A rim in the background colour separates overlapping marks; a hollow one has a rim of its own colour.
        rim = shape.role if shape.hollow else "paper"
        return f'class="f-{fill} s-{rim}" fill="{LIGHT[fill]}" stroke="{LIGHT[rim]}" stroke-width="1.5"'
    if isinstance(shape, Text):
        weight = ' font-weight="600"' if shape.bold else ""
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        return f'{parts} font-size="{_number(shape.size)}"{anchor}{weight}'
    return parts


def _element(shape: Shape) -> str:
    if isinstance(shape, Polyline):
        points = " ".join(f"{_number(x)},{_number(y)}" for x, y in shape.points)
        return f'<polyline points="{points}"{_opacity("stroke", shape.opacity)}/>'
    if isinstance(shape, Box):
        size = f'width="{_number(shape.width)}" height="{_number(shape.height)}"'
        return f'<rect x="{_number(shape.x)}" y="{_number(shape.y)}" {size}{_opacity("fill", shape.opacity)}/>'
    if isinstance(shape, Marker):
        return _mark(shape)
    turn = f' transform="rotate({_number(shape.turn)} {_number(shape.x)} {_number(shape.y)})"' if shape.turn else ""
    return f'<text x="{_number(shape.x)}" y="{_number(shape.y)}"{turn}>{_escape(shape.text)}</text>'


def _mark(mark: Marker) -> str:
    x, y, r = mark.x, mark.y, mark.radius
    if mark.form == "dot":
        return f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(r)}"/>'
    if mark.form == "square":
        return f'<rect x="{_number(x - r)}" y="{_number(y - r)}" width="{_number(2 * r)}" height="{_number(2 * r)}"/>'
    corners = ((x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y))
    return f'<polygon points="{" ".join(f"{_number(a)},{_number(b)}" for a, b in corners)}"/>'


def _opacity(what: str, opacity: float) -> str:
    return "" if opacity == 1 else f' {what}-opacity="{_number(opacity, 3)}"'


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0" if digits else f"{value:.0f}"


def _escape(text: str) -> str:
    """Escape for XML, without the characters that XML 1.0 forbids: control characters and lone surrogates."""
    held = (letter for letter in text if letter in "\t\n\r" or (letter >= " " and not "\ud800" <= letter <= "\udfff"))
    return escape("".join(held).replace("\ufffe", "").replace("\uffff", ""))
