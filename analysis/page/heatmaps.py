"""The explanations as the page shows them: pictures embedded, up to a bound; the rest named with where it lies."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from analysis.explain.records.records import Explained, FigureFiles
from analysis.explain.records.records_reader import checks_table, read_gallery
from analysis.formats.table import Table
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.study import Study

MOST_BYTES = 10_000_000
"""Of all embedded pictures together; in the page they take a third more."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class HeatmapFigure:
    """One figure of explained images.

    Attributes:
        data: the picture as a data URI; None where it is left out.
        fault: why it cannot be shown, where it cannot.
    """

    drawn: FigureFiles
    data: str | None = None
    fault: str | None = None

    @property
    def told(self) -> str:
        """What the picture shows, in words, for who cannot see it."""
        images = "; ".join(
            f"{one.why}: {one.image_id}, true {one.label or 'class unknown'}, said {one.explained} at {one.probability:.3f}"
            for one in self.drawn.images
        )
        return f"{self.drawn.title}. Original, Grad-CAM, Grad-CAM++ and guided Grad-CAM of each image. {images}."


@dataclass(frozen=True)
class NetworkHeatmaps:
    """One explained network."""

    explained: Explained
    checks: Table
    pictures: tuple[HeatmapFigure, ...]

    @property
    def left_out(self) -> tuple[HeatmapFigure, ...]:
        """The pictures that could be shown, but for the bound."""
        return tuple(one for one in self.pictures if one.data is None and one.fault is None)


@dataclass(frozen=True)
class Gallery:
    """All explanations of the cells that count; ``fault``: why none can be shown."""

    networks: tuple[NetworkHeatmaps, ...] = ()
    fault: str | None = None

    @property
    def left_out(self) -> int:
        """Number of pictures left out for the bound."""
        return sum(len(one.left_out) for one in self.networks)

    @property
    def shown(self) -> int:
        """Number of pictures embedded."""
        return sum(one.data is not None for network in self.networks for one in network.pictures)


def gallery(study: Study, keys: Collection[str], most_bytes: int = MOST_BYTES) -> Gallery:
    """Read what was explained of the stages of these keys.

    The bound is shared out in turns, so that of each network something is shown before of any everything.
    """
    try:
        found = read_gallery(study, keys)
    except UserError as error:
        return Gallery(fault=" ".join(error.faults))
    pictures = _embed(study, [one.figures for one in found], most_bytes)
    return Gallery(
        tuple(NetworkHeatmaps(one, checks_table(one), tuple(shown)) for one, shown in zip(found, pictures, strict=True))
    )


def _embed(study: Study, of_networks: Sequence[Sequence[FigureFiles]], most_bytes: int) -> list[list[HeatmapFigure]]:
    pictures: list[list[HeatmapFigure]] = [[] for _ in of_networks]
    room = most_bytes
    for place, drawn in _in_turns(of_networks):
        try:
            content = _read(study, drawn.png) if room > 0 else b""
        except (OSError, ValueError) as error:
            pictures[place].append(HeatmapFigure(drawn, fault=str(error)))
            continue
        if not content or len(content) > room:
            room = 0  # not a smaller one instead: which are shown must not hang on their size
            pictures[place].append(HeatmapFigure(drawn))
            continue
        room -= len(content)
        pictures[place].append(HeatmapFigure(drawn, f"data:image/png;base64,{b64encode(content).decode()}"))
    return pictures


def _in_turns(of_networks: Sequence[Sequence[FigureFiles]]) -> Iterator[tuple[int, FigureFiles]]:
    for turn in zip_longest(*of_networks):
        yield from ((place, drawn) for place, drawn in enumerate(turn) if drawn is not None)


def _read(study: Study, name: str) -> bytes:
    # The record is a file that anyone may have edited: nothing outside the folder is shown.
    if "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(f"{name} is no name of a file in {layout.REPORT_FIGURES}")
    try:
        content = study.storage.read(f"{layout.REPORT_FIGURES}/{name}")
    except FileNotFoundError as error:
        raise ValueError(
            f"{study.storage.path(layout.REPORT_FIGURES)}/{name} is missing; run python -m analysis.gradcam again"
        ) from error
    if not content.startswith(PNG):
        raise ValueError(f"{study.storage.path(layout.REPORT_FIGURES)}/{name} is no PNG picture")
    return content
