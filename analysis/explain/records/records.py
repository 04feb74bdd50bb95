"""What was explained, as it stands in a JSON file beside the figures: the border between drawing and the report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

GRADCAM, PLUS_PLUS = "Grad-CAM", "Grad-CAM++"
GAUSSIAN, UNIFORM, RANDOM = "centred Gaussian", "uniform", "random"
"""Maps that know nothing of the network, to compare with. ``random`` has the resolution of the real one."""
UNTRAINED = "Grad-CAM, untrained"
"""The map of the same network before any training."""

DELETION, INSERTION = "deletion AUC", "insertion AUC"
HEAD_RANDOM, ALL_RANDOM = "rank correlation, head randomised", "rank correlation, all weights randomised"
IN_CELL, IN_NUCLEUS = "share of heat in the cell", "share of heat in the nucleus"

MEANING = {
    DELETION: "mean probability while the hottest places are blurred away first; low is faithful",
    INSERTION: "mean probability while the hottest places of a blurred image are made sharp first; high is faithful",
    HEAD_RANDOM: "Spearman's rho with the map of the network after its head was drawn anew; near 1 the map owes little to it",
    ALL_RANDOM: "Spearman's rho with the map of the network before any training; near 1 the map owes nothing to training",
    IN_CELL: "heat on cytoplasm and nucleus, of all heat; to be read beside the uniform map, the centred Gaussian and the untrained network",
    IN_NUCLEUS: "heat on the nucleus, of all heat; to be read beside the uniform map, the centred Gaussian and the untrained network",
}
"""The checks there are, in the order in which they are shown, and how to read each."""

Why = Literal["confident and right", "confident and wrong", "drawn at random", "from the folder"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Frozen):
    """One check of one map of one image. ``value`` is None where it is undefined: a flat map has no ranks."""

    check: str
    map: str
    value: float | None


class Check(_Frozen):
    """One check of one kind of map over all images: mean, SD (ddof = 1), how many it is defined for, how many not."""

    check: str
    map: str
    mean: float | None
    sd: float | None
    images: int
    undefined: int


class Image(_Frozen):
    """An image that was explained: the map is that of ``explained``, with its probability.

    Attributes:
        label: true class, or None where it is not known.
        flat: names of the maps that are the same everywhere: no place speaks for the class.
    """

    image_id: str
    label: str | None
    explained: str
    probability: float
    why: Why
    flat: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()


class FigureFiles(_Frozen):
    """One figure, with file names below the folder of the record."""

    title: str
    svg: str
    png: str
    caption: str
    images: tuple[Image, ...]


class Explained(_Frozen):
    """One trained network, explained.

    Attributes:
        grid: rows and columns of the map: its true resolution.
        edge: of the network's input, and of the figures' images, pixels.
        guided: what the picture of the gradient is, in words.
        notes: what a reader must know.
    """

    architecture: str
    scenario: str
    stage: str
    key: str
    fold: int | None
    val_f1_macro: float | None
    layer: str
    grid: tuple[int, int]
    edge: int
    guided: str
    figures: tuple[FigureFiles, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
