"""A figure of explained images: original, a heat map per method, and guided Grad-CAM side by side, with scales.

Drawn with matplotlib's objects alone, without pyplot and its global state. Heat is shown in magma, whose lightness
increases steadily, over the image in grey: it can be read in grey and with any colour vision.
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
from analysis.explain.evaluate import EvaluatedImages, ImageHeatmaps
from analysis.formats.number_format import shortened
from trainables.arrays import Floats, Pixels
from trainables.data.loading.augment import LUMA

HEAT, LINES = "magma", "gray"
OPAQUE = 0.6
"""Opacity of the heat over the image. The colours of the scale are those over mid-grey."""
INCH = 1.75
"""Edge of an image in the figure, inches."""
WORDS = 1.5
"""Width of the text column, inches."""
LONGEST = 26
"""Characters of a name that are shown."""


def draw(title: str, images: Sequence[ImageHeatmaps], evaluated: EvaluatedImages) -> Figure:
    """Draw images, a row each.

    Args:
        title: above the figure.
        images: at least one of the evaluated images.
        evaluated: classes, methods, and the kind of the guided gradient.
    """
    methods = list(evaluated.grids)
    height = INCH * len(images) + 1.3
    width = WORDS + (len(methods) + 2) * INCH + 0.4
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    ratios = [WORDS / INCH, *([1] * (len(methods) + 2))]
    axes = figure.subplots(len(images), len(ratios), squeeze=False, width_ratios=ratios)
    product = "guided Grad-CAM" if evaluated.guided.startswith("guided") else "gradient × Grad-CAM"
    maps = (f"{name}\nmap {rows} × {columns}, enlarged" for name, (rows, columns) in evaluated.grids.items())
    for axis, heading in zip(axes[0], ("", "original", *maps, product), strict=True):
        axis.set_title(heading, fontsize=8, parse_math=False)
    for row, one in zip(axes, images, strict=True):
        _row(row, one, evaluated.classes)
    _scale(figure, axes[:, 2:-1], over_grey(HEAT, OPAQUE), "heat, each map scaled to its own hottest place")
    _scale(figure, axes[:, -1:], mpl.colormaps[LINES], "relative size")
    figure.supxlabel(evaluated.guided, fontsize=7, parse_math=False)
    return figure


def as_svg(figure: Figure) -> bytes:
    """Return a figure as SVG without a date. Text becomes outlines, so that it does not depend on installed fonts."""
    with mpl.rc_context({"svg.hashsalt": "explain"}):
        return _saved(figure, "svg", metadata={"Date": None})


def as_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    return _saved(figure, "png", dpi=110)


def over_grey(colours: str, opaque: float) -> ListedColormap:
    """Return a colour map as it looks when drawn half-transparent over mid-grey.

    Args:
        colours: name of the colour map.
        opaque: its opacity.
    """
    table = mpl.colormaps[colours](np.linspace(0, 1, 256))
    return ListedColormap(opaque * table[:, :3] + (1 - opaque) * 0.5)


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
    for axis, (name, heat) in zip(axes[2:-1], one.heat.items(), strict=True):
        axis.imshow(_grey(one.pixels), cmap="gray", vmin=0, vmax=1)
        axis.imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=OPAQUE)
        if name in one.flat:
            axis.text(0.5, 0.5, "no heat", color="white", fontsize=8, ha="center", transform=axis.transAxes)
    axes[-1].imshow(one.guided, cmap=LINES, vmin=0, vmax=1)


def _scale(figure: Figure, axes: NDArray[Any], colours: Colormap, label: str) -> None:
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, location="bottom", shrink=0.8, aspect=30, pad=0.02)
    bar.ax.tick_params(labelsize=6)
    bar.set_label(label, fontsize=7)


def _words(one: ImageHeatmaps, classes: Sequence[str]) -> str:
    image = one.image
    truth = [] if image.label is None else [f"true {shortened(classes[image.label], LONGEST)}"]
    predicted = f"predicted {shortened(classes[image.explained], LONGEST)}, {image.probability:.3f}"
    return "\n".join([image.why, *truth, predicted, shortened(image.image_id.rpartition("/")[2], LONGEST)])


def _grey(pixels: Pixels) -> Floats:
    return np.asarray(pixels @ LUMA / 255)
