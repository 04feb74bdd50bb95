"""Is a map faithful to the network? Deletion and insertion (Petsiuk et al. 2018, RISE)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from analysis.explain.checks.check_input import CheckInput
from analysis.explain.checks.registry import CHECKS, Values, explanation_check
from analysis.explain.methods.heat_maps import HeatMaps, centred_gaussian, is_flat, random_map
from analysis.explain.records.records import DELETION, GAUSSIAN, INSERTION, MEANING, RANDOM, Measurement
from trainables.hashing import derive_seed

BLUR = 1 / 16
"""SD of the blur that removes a place, relative to the edge of the image. A constant colour would add edges of its own."""


class PixelOrder(NamedTuple):
    """The order in which pixels are changed: hottest first, at equal heat at random.

    Attributes:
        heat: shape (edge, edge).
        seed: of the random order.
    """

    heat: HeatMaps
    seed: int


@CHECKS.register("deletion and insertion")
@explanation_check({name: MEANING[name] for name in (DELETION, INSERTION)}, place=10)
def faithfulness(given: CheckInput) -> Values:
    """Yield both areas for each map, and for maps that know nothing of the network."""
    edge, network = given.model.edge, given.model.network
    for i, image_id in enumerate(given.image_ids) if given.steps else ():
        seed = derive_seed("pixels", image_id)
        baselines = {GAUSSIAN: centred_gaussian(edge), RANDOM: random_map(network.layer.grid, edge, seed)}
        image = given.model.input_spec.tensor(given.pixels[i : i + 1])[0]
        for name, heat in {**{method: maps[i] for method, maps in given.heat.items()}, **baselines}.items():
            areas: tuple[float | None, float | None] = (None, None)
            if not is_flat(heat):
                order = PixelOrder(heat, seed)
                areas = deletion_insertion(network.module, image, int(given.targets[i]), order, given.steps)
            for check, area in zip((DELETION, INSERTION), areas, strict=True):
                value = area if area is None or math.isfinite(area) else None
                yield i, Measurement(check=check, map=name, value=value)


def deletion_insertion(
    module: nn.Module, image: torch.Tensor, target: int, order: PixelOrder, steps: int
) -> tuple[float, float]:
    """Return the areas under the curves of the target's probability over the fraction of pixels changed.

    Deletion blurs the hottest pixels first; insertion starts with a blurred image and restores the hottest first.

    Args:
        module: the network, in evaluation mode.
        image: normalised, shape (3, edge, edge).
        target: the class to explain.
        order: of the pixels.
        steps: number of equal shares of the pixels; each curve has steps + 1 points.
    """
    hotter = torch.from_numpy(share_hotter(order)).to(image.device)
    blurred = _blurred(image)
    shares = torch.linspace(0, 1, steps + 1, device=image.device)
    changed = (hotter < shares[:, None, None])[:, None]
    with torch.inference_mode():
        deleted = _probability(module, torch.where(changed, blurred, image), target)
        inserted = _probability(module, torch.where(changed, image, blurred), target)
    return float(torch.trapezoid(deleted, shares)), float(torch.trapezoid(inserted, shares))


def share_hotter(order: PixelOrder) -> HeatMaps:
    """Return for each pixel the fraction of pixels that come before it, in [0, 1), shape (edge, edge)."""
    size = order.heat.size
    shuffled = np.random.default_rng(order.seed).permutation(size)
    hottest_first = shuffled[np.argsort(-order.heat.reshape(-1)[shuffled], kind="stable")]
    found = np.empty(size, dtype=np.float32)
    found[hottest_first] = np.arange(size, dtype=np.float32) / size
    return found.reshape(order.heat.shape)


def _blurred(image: torch.Tensor) -> torch.Tensor:
    spread = max(1.0, BLUR * image.shape[-1])
    size = min(2 * int(3 * spread) + 1, 2 * (image.shape[-1] // 2) - 1)
    blurred: torch.Tensor = gaussian_blur(image, [size, size], [spread, spread])
    return blurred


def _probability(module: nn.Module, images: torch.Tensor, target: int) -> torch.Tensor:
    return torch.softmax(module(images).float(), dim=1)[:, target]
