"""A drawing as SVG and as PDF; its colours can be told apart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from analysis.figures.drawing import palette
from analysis.figures.drawing.figure import Figure, distinct, file_name
from analysis.figures.drawing.pdf import as_pdf
from analysis.figures.drawing.shapes import Box, Drawing, Marker, Polyline, Text
from analysis.figures.drawing.svg import as_file, as_svg
from analysis.figures.heatmap import ShareMatrix, heat_drawing

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<b>&\"'\x00\ud800\ufffe$x_{2}"
SHAPES = (
    Polyline(((0, 0), (10, 20)), "accent", 2, (4, 2), 0.5),
    Box(1, 2, 3, 4, "heat", 0.25),
    Marker(5, 5, 4, "ink", "diamond", hollow=True),
    Marker(5, 5, 4, "ink", "square"),
    Marker(5, 5),
    Text(1, 9, EVIL, "soft", anchor="end", turn=-90, bold=True),
)
DRAWING = Drawing(100, 50, EVIL, EVIL, SHAPES)


def test_svg_is_xml_whatever_the_names() -> None:
    whole = ElementTree.fromstring(as_file(DRAWING))  # noqa: S314 - our own
    clean = "<b>&\"'$x_{2}"
    assert [whole.find(f"{SVG}title").text, whole.find(f"{SVG}desc").text] == [clean, clean]
    assert whole.get("role") == "img"
    assert [text.text for text in whole.iter(f"{SVG}text")] == [clean]
    for name, count in (("polyline", 1), ("rect", 3), ("polygon", 1), ("circle", 1)):  # one rect is the paper
        assert len(list(whole.iter(f"{SVG}{name}"))) == count


def test_svg_of_the_page_takes_its_colours_from_rules() -> None:
    text = as_svg(DRAWING)
    assert "style=" not in text
    for role in re.findall(r'class="([^"]*)"', text):
        assert all(f".{one} " in palette.css() for one in role.split())


def test_pdf_is_the_same_every_time_and_embeds_its_fonts() -> None:
    drawing = Drawing(100, 50, "t", "t", (*SHAPES[:5], Text(1, 9, "F1 × $x_{2}")))
    content = as_pdf(drawing)
    assert content.startswith(b"%PDF-")
    assert b"/FontFile2" in content
    assert re.search(rb"/MediaBox \[ 0 0 75 37.5 \]", content)
    assert as_pdf(drawing) == content


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_contrasts_are_those_of_wcag_aa(colours: dict[str, str]) -> None:
    paper = colours["paper"]
    for role in ("ink", "soft", "accent", "second"):
        assert contrast(rgb(colours[role]), rgb(paper)) >= 4.5
    for percent in range(1, 101):
        share = percent / 100
        ground = tuple(
            share * above + (1 - share) * below for above, below in zip(rgb(colours["heat"]), rgb(paper), strict=True)
        )
        text = colours["on-high" if share >= palette.DARK_FROM else "on-low"]
        assert contrast(rgb(text), ground) >= 4.5, share


def test_a_heat_map_shows_each_share_once_and_gaps_as_dashes() -> None:
    shares: list[list[float | None]] = [[0.25, 0.75], [None, 0.001]]
    drawing = heat_drawing("t", "t", ShareMatrix(["a", "b"], ["a", "b"], shares, ("true", "predicted"), "of all"))
    texts = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
    assert [text for text in texts if text in ("25", "75", "0", "–")] == ["25", "75", "–"]
    opacities = [shape.opacity for shape in drawing.shapes if isinstance(shape, Box)][:2]
    assert opacities == [0.25, 0.75]


def test_names_of_files_never_fall_together() -> None:
    named = [Figure(file_name("curves", name), DRAWING) for name in ("a/b", "a b", "A_b", "c")]
    assert [one.name for one in distinct(named)] == ["curves-a_b", "curves-a_b-2", "curves-A_b-3", "curves-c"]


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2: (lighter + 0.05) / (darker + 0.05) of the relative luminances."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
