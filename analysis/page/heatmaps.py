"""The explanations on the page: figures are embedded up to a total size, the others linked."""

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
from trainables.store.untrusted import plain_name

MOST_PICTURE = 64 << 20
"""Largest PNG that is looked at, bytes."""
MOST_BYTES = 10_000_000
"""Total size of the embedded PNG files; base64 adds a third."""
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class HeatmapFigure:
    """One figure of explained images.

    Attributes:
        files: names, title and caption.
        data: the PNG as a data URI; None where it is not embedded.
        fault: why it cannot be shown; None where it can.
    """

    files: FigureFiles
    data: str | None = None
    fault: str | None = None

    @property
    def description(self) -> str:
        """The content in words, for screen readers."""
        images = "; ".join(
            f"{one.why}: {one.image_id}, true {one.label or 'class unknown'}, predicted {one.explained} at {one.probability:.3f}"
            for one in self.files.images
        )
        return f"{self.files.title}. Original, Grad-CAM, Grad-CAM++ and guided Grad-CAM of each image. {images}."


@dataclass(frozen=True)
class NetworkHeatmaps:
    """The explanations of one network.

    Attributes:
        explained: the record.
        checks: its checks as a table.
        figures: its figures.
    """

    explained: Explained
    checks: Table
    figures: tuple[HeatmapFigure, ...]

    @property
    def left_out(self) -> tuple[HeatmapFigure, ...]:
        """The figures that are not embedded for their size."""
        return tuple(one for one in self.figures if one.data is None and one.fault is None)


@dataclass(frozen=True)
class Gallery:
    """All explanations of the cells that count.

    Attributes:
        networks: the explained networks.
        fault: why none can be shown, or None.
    """

    networks: tuple[NetworkHeatmaps, ...] = ()
    fault: str | None = None

    @property
    def left_out(self) -> int:
        """Number of figures that are not embedded for their size."""
        return sum(len(one.left_out) for one in self.networks)

    @property
    def embedded(self) -> int:
        """Number of embedded figures."""
        return sum(one.data is not None for network in self.networks for one in network.figures)


def gallery(study: Study, keys: Collection[str], most_bytes: int = MOST_BYTES) -> Gallery:
    """Read the explanations of some stages.

    Args:
        study: the study.
        keys: keys of the stages.
        most_bytes: total size of the embedded figures. Networks take turns, so that each shows some figures.
    """
    try:
        found = read_gallery(study, keys)
    except UserError as error:
        return Gallery(fault=" ".join(error.faults))
    embedded = _embed(study, [one.figures for one in found], most_bytes)
    networks = (NetworkHeatmaps(one, checks_table(one), tuple(own)) for one, own in zip(found, embedded, strict=True))
    return Gallery(tuple(networks))


def _embed(study: Study, of_networks: Sequence[Sequence[FigureFiles]], most_bytes: int) -> list[list[HeatmapFigure]]:
    figures: list[list[HeatmapFigure]] = [[] for _ in of_networks]
    left = most_bytes
    for place, files in _in_turns(of_networks):
        try:
            content = _read(study, files.png) if left > 0 else b""
        except (OSError, ValueError) as error:
            figures[place].append(HeatmapFigure(files, fault=str(error)))
            continue
        if not content or len(content) > left:
            left = 0  # no smaller figure instead: which figures are embedded must not depend on their sizes
            figures[place].append(HeatmapFigure(files))
            continue
        left -= len(content)
        figures[place].append(HeatmapFigure(files, f"data:image/png;base64,{b64encode(content).decode()}"))
    return figures


def _in_turns(of_networks: Sequence[Sequence[FigureFiles]]) -> Iterator[tuple[int, FigureFiles]]:
    for turn in zip_longest(*of_networks):
        yield from ((place, files) for place, files in enumerate(turn) if files is not None)


def _read(study: Study, name: str) -> bytes:
    try:
        content = study.storage.read(f"{layout.REPORT_FIGURES}/{plain_name(name)}", MOST_PICTURE)
    except FileNotFoundError as error:
        raise ValueError(
            f"{study.storage.path(layout.REPORT_FIGURES)}/{name} is missing; run python -m analysis.gradcam again"
        ) from error
    if not content.startswith(PNG):
        raise ValueError(f"{study.storage.path(layout.REPORT_FIGURES)}/{name} is no PNG picture")
    return content
