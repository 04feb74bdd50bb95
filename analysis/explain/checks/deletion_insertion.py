"""Is a map faithful to the network? Deletion and insertion (Petsiuk et al. 2018, RISE)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms.functional import gaussian_blur

BLUR = 1 / 16
"""SD of the blur that takes a place away, as a share of the edge. A flat colour would draw edges of its own."""


def deletion_insertion(
    module: nn.Module, image: torch.Tensor, target: int, heat: NDArray[np.float32], steps: int, seed: int
) -> tuple[float, float]:
    """Return the areas under the curves of the target's probability over the share of pixels changed.

    Deletion blurs the hottest pixels first; insertion begins with a blurred image and makes them sharp first.

    Args:
        module: in evaluation.
        image: (3, edge, edge), normalised.
        target: class explained.
        heat: (edge, edge). Pixels of the same heat come in random order.
        steps: how many equal shares of the pixels; steps + 1 points a curve.
        seed: of that order.
    """
    order = torch.from_numpy(share_hotter(heat, seed)).to(image.device)
    blurred = _blurred(image)
    shares = torch.linspace(0, 1, steps + 1, device=image.device)
    changed = (order < shares[:, None, None])[:, None]
    with torch.inference_mode():
        deleted = _probability(module, torch.where(changed, blurred, image), target)
        inserted = _probability(module, torch.where(changed, image, blurred), target)
    return float(torch.trapezoid(deleted, shares)), float(torch.trapezoid(inserted, shares))


def share_hotter(heat: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return for each pixel the share of pixels that are hotter, in [0, 1): shape as given."""
    shuffled = np.random.default_rng(seed).permutation(heat.size)
    hottest_first = shuffled[np.argsort(-heat.reshape(-1)[shuffled], kind="stable")]
    found = np.empty(heat.size, dtype=np.float32)
    found[hottest_first] = np.arange(heat.size, dtype=np.float32) / heat.size
    return found.reshape(heat.shape)


def _blurred(image: torch.Tensor) -> torch.Tensor:
    spread = max(1.0, BLUR * image.shape[-1])
    size = min(2 * int(3 * spread) + 1, 2 * (image.shape[-1] // 2) - 1)
    blurred: torch.Tensor = gaussian_blur(image, [size, size], [spread, spread])
    return blurred


def _probability(module: nn.Module, images: torch.Tensor, target: int) -> torch.Tensor:
    return torch.softmax(module(images).float(), dim=1)[:, target]
