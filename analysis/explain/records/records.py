"""The record of an explanation: a JSON file beside the figures, written by the explainer and read by the report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

GRADCAM, PLUS_PLUS = "Grad-CAM", "Grad-CAM++"
GAUSSIAN, UNIFORM, RANDOM = "centred Gaussian", "uniform", "random"
"""Maps that know nothing of the network, to compare with. ``random`` has the resolution of the real one."""
UNTRAINED = "Grad-CAM, untrained"
"""Grad-CAM of the same network before any training."""

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
"""How to read the built-in checks. Here, because records written before ``CheckSummary.meaning`` do not hold it."""

Why = Literal["confident and right", "confident and wrong", "drawn at random", "from the folder"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measurement(_Frozen):
    """The value of a check for one map of one image.

    Attributes:
        check: name of the check.
        map: name of the map.
        value: None where it is undefined: a flat map has no ranks.
    """

    check: str
    map: str
    value: float | None


class CheckSummary(_Frozen):
    """A check of one kind of map over all images.

    Attributes:
        check: name of the check.
        map: name of the map.
        mean: over the images for which it is defined; None without one.
        sd: standard deviation (ddof = 1); None with fewer than two.
        images: number of images for which it is defined.
        undefined: number of the others.
        meaning: how to read the values; "" in older records.
    """

    check: str
    map: str
    mean: float | None
    sd: float | None
    images: int
    undefined: int
    meaning: str = ""


class ExplainedImage(_Frozen):
    """An explained image.

    Attributes:
        image_id: of the image.
        label: true class, or None where it is unknown.
        explained: the class that the map explains: the predicted one.
        probability: of this class.
        why: why the image was selected.
        flat: names of the maps that are constant: no place is evidence for the class.
        measured: values of the checks.
    """

    image_id: str
    label: str | None
    explained: str
    probability: float
    why: Why
    flat: tuple[str, ...] = ()
    measured: tuple[Measurement, ...] = ()


class FigureFiles(_Frozen):
    """A figure: title, caption, images, and the names of its files in the folder of the record."""

    title: str
    svg: str
    png: str
    caption: str
    images: tuple[ExplainedImage, ...]


class Explained(_Frozen):
    """An explained network.

    Attributes:
        architecture: label in the tables; likewise ``scenario``.
        stage: name of the stage.
        key: its key.
        fold: its fold, or None.
        val_f1_macro: its val score, or None.
        layer: name of the layer that maps are read from.
        grid: rows and columns of the maps before enlargement.
        edge: of the network's input and of the images in the figures, pixels.
        guided: kind of the guided gradient, in words.
        figures: the figures.
        checks: the checks over all images.
        notes: remarks for the reader.
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
    checks: tuple[CheckSummary, ...]
    notes: tuple[str, ...] = ()
