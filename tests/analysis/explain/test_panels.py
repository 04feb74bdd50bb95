"""Tests of the figure: what it says, and that it can be read."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from analysis.explain.evaluate import EvaluatedImages, ImageHeatmaps
from analysis.explain.panels import HEAT, OPAQUE, as_png, as_svg, draw, over_grey
from analysis.explain.records.records import DELETION, GRADCAM, INSERTION, PLUS_PLUS, RANDOM, Measurement
from analysis.explain.sampling import SampledImage
from analysis.explain.writer import doubts

CLASSES = ("<EOS> & $x_1$", "MON")


def shown(flat: bool = False, mask: bool = True) -> ImageHeatmaps:
    heat = np.zeros((32, 32), np.float32) if flat else np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    cell = np.zeros((32, 32), np.uint8)
    cell[8:24, 8:24], cell[12:20, 12:20] = 1, 2
    pixels = np.full((32, 32, 3), 200, np.uint8)
    picked = SampledImage("a/b/$image_1$.png", 0, 1, 0.875, "confident and wrong")
    return ImageHeatmaps(picked, pixels, {GRADCAM: heat, PLUS_PLUS: heat}, heat, cell if mask else None, ())


def drawn(title: str, images: list[ImageHeatmaps], guided: str) -> Figure:
    grids = {GRADCAM: (7, 7), PLUS_PLUS: (7, 7)}
    return draw(title, images, EvaluatedImages(tuple(images), CLASSES, guided, grids))


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_a_figure_says_what_it_shows() -> None:
    figure = drawn("of <EOS>", [shown(), shown(flat=True)], "guided back-propagation through ReLU")
    words = texts(figure)
    for expected in (
        "of <EOS>", "true <EOS> & $x_1$", "predicted MON, 0.875", "confident and wrong", "$image_1$.png",
        "Grad-CAM\nmap 7 × 7, enlarged", "Grad-CAM++\nmap 7 × 7, enlarged", "guided Grad-CAM",
        "guided back-propagation through ReLU", "each map scaled to its own hottest place", "no heat",
    ):  # fmt: skip
        assert expected in words
    assert not any(text.get_parse_math() for text in figure.findobj(mpl.text.Text) if "$" in text.get_text())


def test_a_plain_gradient_is_not_called_guided() -> None:
    words = texts(drawn("t", [shown(mask=False)], "plain gradient: …"))
    assert "guided Grad-CAM" not in words
    assert "gradient × Grad-CAM" in words


def test_the_files_are_what_they_are_called() -> None:
    figure = drawn("t", [shown()], "guided")
    with Image.open(io.BytesIO(as_png(figure))) as image:
        assert image.format == "PNG"
    svg = as_svg(figure)
    assert re.search(rb"<svg ", svg)
    assert b"dc:date" not in svg


def test_heat_grows_in_lightness_so_that_it_reads_in_grey() -> None:
    lightness = over_grey(HEAT, OPAQUE)(np.linspace(0, 1, 64))[:, :3] @ (0.299, 0.587, 0.114)
    assert np.all(np.diff(lightness) > 0)
    assert lightness[-1] - lightness[0] > 0.5


def measured(faithful: float, random: float) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(check=check, map=name, value=value)
        for name, gain in ((GRADCAM, faithful), (RANDOM, random))
        for check, value in ((DELETION, 0.5), (INSERTION, 0.5 + gain))
    )


def test_maps_no_better_than_random_ones_are_warned_of() -> None:
    assert doubts([measured(0.2, 0.0), measured(-0.1, 0.0)]) == []
    (warning,) = doubts([measured(0.1, 0.2), measured(0.0, 0.0)])
    assert warning.startswith("Do not rely on Grad-CAM here")
    assert "-0.050 over 2 images" in warning
    assert doubts([()]) == []
