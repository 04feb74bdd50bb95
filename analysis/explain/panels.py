"""One figure of explained images: original, Grad-CAM, Grad-CAM++ and guided Grad-CAM side by side, with scales.

Drawn with matplotlib's objects alone: no pyplot, no global state. Heat is shown in magma, which grows
steadily in lightness, so that it reads in grey and without colour vision, over the image in grey.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.explain.checks.mask_overlap import CYTOPLASM, NUCLEUS
from analysis.explain.evaluate import ImageHeatmaps, flat_maps
from analysis.explain.records.records import GRADCAM, PLUS_PLUS

HEAT, LINES = "magma", "gray"
OPAQUE = 0.6
"""How much the heat covers the image. The colours of the scale are those over mid-grey."""
INCH = 1.75
"""Edge of one image in the figure."""
WORDS = 1.5
"""Width of the column of words, inches."""
LUMA = (0.299, 0.587, 0.114)


def draw(
    title: str, images: Sequence[ImageHeatmaps], classes: Sequence[str], guided: str, grid: tuple[int, int]
) -> Figure:
    """Draw images, a row each.

    Args:
        title: above the figure.
        images: at least one.
        classes: names, in the order of the logits.
        guided: what the picture of the gradient is, in words.
        grid: rows and columns of the maps, before they were enlarged.
    """
    height = INCH * len(images) + 1.3
    figure = Figure(figsize=(WORDS + 4 * INCH + 0.4, height), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(len(images), 5, squeeze=False, width_ratios=[WORDS / INCH, 1, 1, 1, 1])
    resolution = f"map {grid[0]} × {grid[1]}, enlarged"
    product = "guided Grad-CAM" if guided.startswith("guided") else "gradient × Grad-CAM"
    headings = ("", "original", f"{GRADCAM}\n{resolution}", f"{PLUS_PLUS}\n{resolution}", product)
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.set_title(heading, fontsize=8, parse_math=False)
    for row, one in zip(axes, images, strict=True):
        _row(row, one, classes)
    _scale(figure, axes[:, 2:4], over_grey(HEAT, OPAQUE), "heat, each map scaled to its own hottest place")
    _scale(figure, axes[:, 4:], mpl.colormaps[LINES], "relative size")
    figure.supxlabel(guided, fontsize=7, parse_math=False)
    return figure


def as_svg(figure: Figure) -> bytes:
    """Return a figure as SVG, without the date. Its text is drawn as outlines: it looks alike everywhere."""
    with mpl.rc_context({"svg.hashsalt": "explain"}):
        return _saved(figure, "svg", metadata={"Date": None})


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    return _saved(figure, "png", dpi=110)


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, **options)
    return stream.getvalue()


def _row(axes: Sequence[Axes], one: ImageHeatmaps, classes: Sequence[str]) -> None:
    for axis in axes:
        axis.set_axis_off()
    axes[0].text(0, 0.5, _words(one, classes), fontsize=7, va="center", parse_math=False, transform=axes[0].transAxes)
    axes[1].imshow(one.pixels)
    if one.mask is not None:
        for level, style in ((CYTOPLASM, "dashed"), (NUCLEUS, "solid")):
            inside = (one.mask >= level).astype(np.float32)
            if 0 < inside.mean() < 1:
                axes[1].contour(inside, levels=[0.5], colors="white", linewidths=0.7, linestyles=style)
    flat = flat_maps(one.heat)
    for axis, name in zip(axes[2:4], (GRADCAM, PLUS_PLUS), strict=True):
        axis.imshow(_grey(one.pixels), cmap="gray", vmin=0, vmax=1)
        axis.imshow(one.heat[name], cmap=HEAT, vmin=0, vmax=1, alpha=OPAQUE)
        if name in flat:
            axis.text(0.5, 0.5, "no heat", color="white", fontsize=8, ha="center", transform=axis.transAxes)
    axes[4].imshow(one.guided, cmap=LINES, vmin=0, vmax=1)


def over_grey(colours: str, opaque: float) -> ListedColormap:
    """Return a colour map as it looks over mid-grey: what a half-transparent map over an image shows."""
    table = mpl.colormaps[colours](np.linspace(0, 1, 256))
    return ListedColormap(opaque * table[:, :3] + (1 - opaque) * 0.5)


def _scale(figure: Figure, axes: NDArray[Any], colours: Colormap, label: str) -> None:
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, location="bottom", shrink=0.8, aspect=30, pad=0.02)
    bar.ax.tick_params(labelsize=6)
    bar.set_label(label, fontsize=7)


def _words(one: ImageHeatmaps, classes: Sequence[str]) -> str:
    pick = one.pick
    truth = [] if pick.label is None else [f"true {_short(classes[pick.label])}"]
    said = f"said {_short(classes[pick.explained])}, {pick.probability:.3f}"
    return "\n".join([pick.why, *truth, said, _short(pick.image_id.rpartition("/")[2])])


def _short(text: str, most: int = 26) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(pixels @ np.array(LUMA) / 255)
