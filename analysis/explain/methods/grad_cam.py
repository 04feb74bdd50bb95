"""Grad-CAM and Grad-CAM++ of a batch, by pytorch-grad-cam, at the map's own resolution.

Of the library two things are kept at arm's length: its context manager swallows an ``IndexError``, and it
keeps the graph of the last pass. So its hooks are released here, whatever happens, and the object dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from analysis.explain.methods.target_layer import CamLayer, studied
from analysis.explain.records.records import GRADCAM, PLUS_PLUS

HeatMaps = NDArray[np.float32]
METHODS: dict[str, type[BaseCAM]] = {GRADCAM: GradCAM, PLUS_PLUS: GradCAMPlusPlus}


@dataclass(frozen=True)
class CamNetwork:
    """A network and the layer that its maps are read from."""

    module: nn.Module
    layer: CamLayer


def activation_maps(network: CamNetwork, images: torch.Tensor, targets: NDArray[np.int64], method: str) -> HeatMaps:
    """Return the map of each image for its target class.

    The network is left as it was, with no hook and no graph.

    Args:
        network: on the device of the images.
        images: (n, 3, edge, edge), normalised.
        targets: class explained, shape (n,).
        method: a key of ``METHODS``.

    Returns:
        (n, rows, columns), each from 0 to 1 by itself; all 0 where no place speaks for the class.
    """
    rows, columns = network.layer.grid
    with studied(network.module) as module, torch.enable_grad():
        cam = METHODS[method](module, [network.layer.layer], network.layer.reshape_transform)
        cam.get_target_width_height = lambda _: (columns, rows)  # not yet enlarged
        try:
            found = cam(images.detach().clone().requires_grad_(), [ClassifierOutputTarget(int(t)) for t in targets])
        finally:
            cam.activations_and_grads.release()
            cam.outputs = None  # it would keep the graph
    return np.nan_to_num(np.asarray(found, dtype=np.float32), posinf=0.0, neginf=0.0)


def enlarge(maps: HeatMaps, edge: int) -> HeatMaps:
    """Return maps (n, rows, columns) at (n, edge, edge), bilinear, the hottest place of each at 1."""
    large = np.stack([cv2.resize(one, (edge, edge), interpolation=cv2.INTER_LINEAR) for one in maps])
    top = large.max((1, 2), keepdims=True)
    return np.asarray(np.divide(large, top, out=np.zeros_like(large), where=top > 0), dtype=np.float32)


def is_flat(one: HeatMaps) -> bool:
    """Say whether a map is the same everywhere, and so says nothing."""
    return bool(np.ptp(one) < 1e-6)


def centred_gaussian(edge: int, spread: float = 0.25) -> HeatMaps:
    """Return a map (edge, edge) that knows only that objects lie in the middle. ``spread``: SD as a share of the edge."""
    axis = (np.arange(edge) - (edge - 1) / 2) / (spread * edge)
    return np.asarray(np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 2), dtype=np.float32)


def random_map(grid: tuple[int, int], edge: int, seed: int) -> HeatMaps:
    """Return a map (edge, edge) of uniform random numbers at a resolution: what no network has seen."""
    noise = np.random.default_rng(seed).random(grid, dtype=np.float32)
    large: HeatMaps = enlarge(noise[np.newaxis], edge)[0]
    return large
