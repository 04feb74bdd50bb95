"""Heat maps and checks of a list of images, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.explain.checks.check_input import CellMask, CheckInput, batches, maps_of
from analysis.explain.checks.mask_overlap import fit
from analysis.explain.checks.registry import all_checks
from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.guided_backprop import guided_gradient
from analysis.explain.methods.heat_maps import HeatMaps, enlarge, is_flat
from analysis.explain.pixels import PixelSource, scaled
from analysis.explain.records.records import GRADCAM, CheckSummary, Measurement
from analysis.explain.sampling import SampledImage
from trainables.arrays import Pixels


@dataclass(frozen=True)
class ImageHeatmaps:
    """The heat maps of one image.

    Attributes:
        image: id, label and explained class.
        pixels: as given to the network before normalisation, shape (edge, edge, 3).
        heat: method -> map, shape (edge, edge), 0 to 1.
        guided: magnitude of the guided gradient × Grad-CAM, shape (edge, edge), 0 to 1.
        mask: shape (edge, edge), or None.
        measured: values of the checks.
    """

    image: SampledImage
    pixels: Pixels
    heat: Mapping[str, HeatMaps]
    guided: HeatMaps
    mask: CellMask | None
    measured: tuple[Measurement, ...]

    @property
    def flat(self) -> tuple[str, ...]:
        """Names of the methods whose map is constant."""
        return tuple(name for name, one in self.heat.items() if is_flat(one))


@dataclass(frozen=True)
class EvaluatedImages:
    """The heat maps of all images.

    Attributes:
        images: one for each image.
        classes: names of the classes.
        guided: kind of the guided gradient, in words.
        grids: method -> rows and columns of its maps before enlargement.
    """

    images: tuple[ImageHeatmaps, ...]
    classes: tuple[str, ...]
    guided: str
    grids: Mapping[str, tuple[int, int]]


def explain_images(
    model: ExplainedModel, images: Sequence[SampledImage], source: PixelSource, steps: int
) -> EvaluatedImages:
    """Compute the heat maps of images and check them.

    Args:
        model: the network.
        images: at least one, with the class to explain.
        source: of their pixels and masks.
        steps: of the deletion and insertion curves; 0 leaves this check and that with random weights out.
    """
    given, gradients, kind = _heat_maps(model, images, source, steps)
    measured: list[list[Measurement]] = [[] for _ in images]
    for check in all_checks():
        for i, value in check.measure(given):
            measured[i].append(value)
    found = []
    for i, image in enumerate(images):
        heat = {method: maps[i] for method, maps in given.heat.items()}
        guided = _guided_map(gradients[i], heat[GRADCAM])
        found.append(ImageHeatmaps(image, given.pixels[i], heat, guided, given.masks[i], tuple(measured[i])))
    grids = {method: (maps.shape[1], maps.shape[2]) for method, maps in given.maps.items()}
    return EvaluatedImages(tuple(found), model.classes, kind, grids)


def summarise(measured: Iterable[Measurement]) -> tuple[CheckSummary, ...]:
    """Return mean and SD of each check of each kind of map, in the order of the checks."""
    meanings = {name: text for check in all_checks() for name, text in check.meanings.items()}
    order = list(meanings)
    ordered = sorted(measured, key=lambda one: (order.index(one.check), one.map))
    return tuple(
        _summary(check, name, meanings[check], [one.value for one in group])
        for (check, name), group in groupby(ordered, key=lambda one: (one.check, one.map))
    )


def probabilities(model: ExplainedModel, pixels: Pixels) -> NDArray[np.float32]:
    """Predict images.

    Args:
        model: the network.
        pixels: shape (n, size, size, 3), of any size.

    Returns:
        softmax, shape (n, classes).
    """
    with torch.inference_mode():
        logits = model.network.module(model.input_spec.tensor(scaled(pixels, model.edge)))
    return np.asarray(torch.softmax(logits.float(), 1).cpu().numpy())


def _heat_maps(
    model: ExplainedModel, images: Sequence[SampledImage], source: PixelSource, steps: int
) -> tuple[CheckInput, HeatMaps, str]:
    """Return the maps, the magnitude of the guided gradient, shape (n, edge, edge), and its kind in words."""
    ids = [one.image_id for one in images]
    targets = np.array([one.explained for one in images], dtype=np.int64)
    small: dict[str, list[HeatMaps]] = {}
    pixels, gradients, kind = [], [], ""
    for rows in batches(len(images)):
        pixels.append(scaled(source.pixels(ids[rows]), model.edge))
        tensor = model.input_spec.tensor(pixels[-1])
        for method, found in maps_of(model.network, tensor, targets[rows]).items():
            small.setdefault(method, []).append(found)
        gradient, kind = guided_gradient(model.network.module, tensor, targets[rows])
        gradients.append(np.abs(gradient).max(1))
    maps = {method: np.concatenate(found) for method, found in small.items()}
    heat = {method: enlarge(found, model.edge) for method, found in maps.items()}
    masks = [None if (mask := source.mask(image_id)) is None else fit(mask, model.edge) for image_id in ids]
    given = CheckInput(model, ids, np.concatenate(pixels), targets, maps, heat, masks, steps)
    return given, np.concatenate(gradients), kind


def _summary(check: str, name: str, meaning: str, values: list[float | None]) -> CheckSummary:
    defined = np.array([value for value in values if value is not None], dtype=np.float64)
    return CheckSummary(
        check=check,
        map=name,
        mean=float(defined.mean()) if len(defined) else None,
        sd=float(defined.std(ddof=1)) if len(defined) > 1 else None,
        images=len(defined),
        undefined=len(values) - len(defined),
        meaning=meaning,
    )


def _guided_map(gradient: HeatMaps, heat: HeatMaps) -> HeatMaps:
    """Return gradient × heat, scaled so that its 99th percentile is 1: a single pixel would darken all others."""
    product = gradient * heat
    top = float(np.percentile(product, 99)) or float(product.max())
    return np.clip(product / top, 0, 1).astype(np.float32) if top > 0 else np.zeros_like(product)
