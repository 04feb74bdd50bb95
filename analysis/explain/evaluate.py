"""All maps and all checks of a list of images, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.explain.checks.deletion_insertion import deletion_insertion
from analysis.explain.checks.mask_overlap import CellMask, MaskOf, fit, heat_shares
from analysis.explain.checks.sanity_check import randomised, similarity
from analysis.explain.explained_model import ExplainedModel
from analysis.explain.methods.grad_cam import (
    METHODS,
    CamNetwork,
    HeatMaps,
    activation_maps,
    centred_gaussian,
    enlarge,
    is_flat,
    random_map,
)
from analysis.explain.methods.guided_backprop import guided_gradient
from analysis.explain.pixels import PixelsOf, scaled
from analysis.explain.records import records
from analysis.explain.records.records import Check, Measured
from analysis.explain.sampling import SampledImage
from trainables.hashing import derive_seed

BATCH = 8
"""Images whose activations and gradients are held at once."""


@dataclass(frozen=True)
class ImageHeatmaps:
    """One image, explained.

    Attributes:
        pixels: as the network was given it, (edge, edge, 3).
        heat: by method, (edge, edge), 0 to 1.
        guided: size of the guided gradient × Grad-CAM, (edge, edge), 0 to 1.
        mask: (edge, edge) or None.
    """

    pick: SampledImage
    pixels: NDArray[np.uint8]
    heat: Mapping[str, HeatMaps]
    guided: HeatMaps
    mask: CellMask | None
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class EvaluatedImages:
    """Explained images, and what the picture of the gradient is."""

    images: tuple[ImageHeatmaps, ...]
    guided: str


def explain_images(
    trained: ExplainedModel, picks: Sequence[SampledImage], pixels_of: PixelsOf, mask_of: MaskOf, steps: int
) -> EvaluatedImages:
    """Explain images and check the explanations.

    Args:
        trained: the network.
        picks: the images and for which class.
        pixels_of: their pixels before scaling.
        mask_of: their masks.
        steps: of the deletion and insertion curves; 0 leaves this check out.
    """
    small: dict[str, list[HeatMaps]] = {method: [] for method in METHODS}
    guided: list[HeatMaps] = []
    pixels: list[NDArray[np.uint8]] = []
    words = ""
    for batch in _batches(picks):
        images = scaled(pixels_of([one.image_id for one in batch]), trained.input_spec.edge)
        tensor, targets = trained.input_spec.tensor(images), _targets(batch)
        for method, maps in small.items():
            maps.extend(activation_maps(trained.network, tensor, targets, method))
        gradient, words = guided_gradient(trained.network.module, tensor, targets)
        guided.extend(np.abs(gradient).max(1))
        pixels.extend(images)
    masks = [None if (mask := mask_of(one.image_id)) is None else fit(mask, trained.input_spec.edge) for one in picks]
    kept = {method: np.stack(maps) for method, maps in small.items()}
    against = _against_random(trained, picks, pixels, kept, masks) if steps else [[] for _ in picks]
    heat = {method: enlarge(maps, trained.input_spec.edge) for method, maps in kept.items()}
    shown = []
    for i, one in enumerate(picks):
        own = {method: heat[method][i] for method in METHODS}
        measured = (*_faithful(trained, one, pixels[i], own, steps), *against[i], *_regions(own, masks[i]))
        shown.append(
            ImageHeatmaps(one, pixels[i], own, _guided_map(guided[i], own[records.GRADCAM]), masks[i], measured)
        )
    return EvaluatedImages(tuple(shown), words)


def summarise(measured: Iterable[Measured]) -> tuple[Check, ...]:
    """Return mean and SD of each check of each kind of map, in the order of ``record.MEANING``."""
    order = list(records.MEANING)
    ordered = sorted(measured, key=lambda one: (order.index(one.check), one.map))
    return tuple(
        _check(check, name, [one.value for one in group])
        for (check, name), group in groupby(ordered, key=lambda one: (one.check, one.map))
    )


def flat_maps(heat: Mapping[str, HeatMaps]) -> tuple[str, ...]:
    """Return the names of the maps that are the same everywhere."""
    return tuple(name for name, one in heat.items() if is_flat(one))


def _check(check: str, name: str, values: list[float | None]) -> Check:
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return Check(
        check=check,
        map=name,
        mean=float(defined.mean()) if len(defined) else None,
        sd=float(defined.std(ddof=1)) if len(defined) > 1 else None,
        images=len(defined),
        undefined=len(values) - len(defined),
    )


def _against_random(
    trained: ExplainedModel,
    picks: Sequence[SampledImage],
    pixels: Sequence[NDArray[np.uint8]],
    maps: Mapping[str, HeatMaps],
    masks: Sequence[CellMask | None],
) -> list[list[Measured]]:
    """Compare each map with that of the same network with random weights; one such network at a time is in memory."""
    found: list[list[Measured]] = [[] for _ in picks]
    stage = trained.stage
    for check in (records.HEAD_RANDOM, records.ALL_RANDOM):
        seed = derive_seed("randomised", check, stage.key)
        other = randomised(
            check,
            stage.model,
            trained.backbone,
            trained.network.layer,
            trained.input_spec.edge,
            len(trained.classes),
            seed,
        )
        for method in METHODS:
            for i, one in enumerate(_maps(other, trained, picks, pixels, method)):
                found[i].append(Measured(check=check, map=method, value=similarity(maps[method][i], one)))
                if (check, method) == (records.ALL_RANDOM, records.GRADCAM):
                    found[i].extend(
                        _shares(records.UNTRAINED, enlarge(one[np.newaxis], trained.input_spec.edge)[0], masks[i])
                    )
    return found


def _maps(
    network: CamNetwork,
    trained: ExplainedModel,
    picks: Sequence[SampledImage],
    pixels: Sequence[NDArray[np.uint8]],
    method: str,
) -> Iterator[HeatMaps]:
    for start in range(0, len(picks), BATCH):
        tensor = trained.input_spec.tensor(np.stack(pixels[start : start + BATCH]))
        yield from activation_maps(network, tensor, _targets(picks[start : start + BATCH]), method)


def _faithful(
    trained: ExplainedModel, one: SampledImage, pixels: NDArray[np.uint8], heat: Mapping[str, HeatMaps], steps: int
) -> Iterator[Measured]:
    if not steps:
        return
    seed, edge = derive_seed("pixels", one.image_id), trained.input_spec.edge
    knowing_nothing = {
        records.GAUSSIAN: centred_gaussian(edge),
        records.RANDOM: random_map(trained.network.layer.grid, edge, seed),
    }
    image = trained.input_spec.tensor(pixels[np.newaxis])[0]
    for name, ordering in {**heat, **knowing_nothing}.items():
        areas: tuple[float | None, float | None] = (None, None)
        if not is_flat(ordering):
            areas = deletion_insertion(trained.network.module, image, one.explained, ordering, steps, seed)
        for check, area in zip((records.DELETION, records.INSERTION), areas, strict=True):
            yield Measured(check=check, map=name, value=area if area is None or math.isfinite(area) else None)


def _regions(heat: Mapping[str, HeatMaps], mask: CellMask | None) -> Iterator[Measured]:
    if mask is None:
        return
    edge = len(mask)
    knowing_nothing = {records.UNIFORM: np.ones((edge, edge), np.float32), records.GAUSSIAN: centred_gaussian(edge)}
    for name, one in {**heat, **knowing_nothing}.items():
        yield from _shares(name, one, mask)


def _shares(name: str, heat: HeatMaps, mask: CellMask | None) -> Iterator[Measured]:
    for check, share in ({} if mask is None else heat_shares(heat, mask)).items():
        yield Measured(check=check, map=name, value=share)


def _guided_map(gradient: HeatMaps, heat: HeatMaps) -> HeatMaps:
    """Return gradient × heat, its brightest hundredth at 1: a single pixel would darken all others."""
    product = gradient * heat
    top = float(np.percentile(product, 99)) or float(product.max())
    return np.clip(product / top, 0, 1).astype(np.float32) if top > 0 else np.zeros_like(product)


def _batches(picks: Sequence[SampledImage]) -> Iterator[Sequence[SampledImage]]:
    for start in range(0, len(picks), BATCH):
        yield picks[start : start + BATCH]


def _targets(picks: Sequence[SampledImage]) -> NDArray[np.int64]:
    return np.array([one.explained for one in picks], dtype=np.int64)


def probabilities(trained: ExplainedModel, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a network says of images (n, size, size, 3): probabilities (n, classes)."""
    with torch.inference_mode():
        logits = trained.network.module(trained.input_spec.tensor(scaled(pixels, trained.input_spec.edge)))
    return np.asarray(torch.softmax(logits.float(), 1).cpu().numpy())
