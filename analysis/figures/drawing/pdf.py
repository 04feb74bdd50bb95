"""A drawing as PDF, by matplotlib, with embedded fonts as journals require. Imported only for ``--pdf``: it is slow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from analysis.figures.drawing.palette import LIGHT
from analysis.figures.drawing.shapes import Box, Drawing, Marker, Polyline, Shape, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

DOTS = 96
"""CSS pixels per inch."""
POINT = 72 / DOTS
FORMS = {"dot": "o", "square": "s", "diamond": "D"}
ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def as_pdf(drawing: Drawing) -> bytes:
    """Return a PDF of the drawing's size, on white. The same drawing gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"pdf.fonttype": 42, "font.family": "sans-serif"}):
        figure = Figure(figsize=(drawing.width / DOTS, drawing.height / DOTS))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
        axes.set_axis_off()
        for order, shape in enumerate(drawing.shapes):
            _add(axes, shape, order + 1)
        stream = io.BytesIO()
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Title": drawing.title})
    return stream.getvalue()


def _add(axes: Axes, shape: Shape, order: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    colour = LIGHT[shape.role]
    if isinstance(shape, Polyline):
        xs, ys = zip(*shape.points, strict=True)
        line = Line2D(xs, ys, color=colour, linewidth=shape.width * POINT, alpha=shape.opacity, zorder=order)
        if shape.dash:  # in units of the line's width
            line.set_linestyle((0, tuple(part / shape.width for part in shape.dash)))
        axes.add_line(line)
    elif isinstance(shape, Box):
        axes.add_patch(
            Rectangle(
                (shape.x, shape.y),
                shape.width,
                shape.height,
                facecolor=colour,
                linewidth=0,
                alpha=shape.opacity,
                zorder=order,
            )
        )
    elif isinstance(shape, Marker):
        axes.add_line(_mark(shape, order))
    else:
        _text(axes, shape, order)


def _mark(shape: Marker, order: int) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D(
        [shape.x],
        [shape.y],
        marker=FORMS[shape.form],
        markersize=2 * shape.radius * POINT,
        markerfacecolor=LIGHT["paper" if shape.hollow else shape.role],
        markeredgecolor=LIGHT[shape.role if shape.hollow else "paper"],
        linestyle="none",
        zorder=order,
    )


def _text(axes: Axes, shape: Text, order: int) -> None:
    axes.text(
        shape.x,
        shape.y,
        shape.text,
        color=LIGHT[shape.role],
        fontsize=shape.size * POINT,
        fontweight="bold" if shape.bold else "normal",
        ha=ANCHORS[shape.anchor],
        va="baseline",
        rotation=-shape.turn,
        rotation_mode="anchor",
        parse_math=False,
        zorder=order,
    )
