"""Grad-CAM++ (Chattopadhay et al. 2018)."""

from __future__ import annotations

import torch
from pytorch_grad_cam import GradCAMPlusPlus

from analysis.explain.methods.grad_cam import library_cam
from analysis.explain.methods.heat_maps import HeatMaps
from analysis.explain.methods.registry import METHODS
from analysis.explain.methods.target_layer import CamNetwork
from analysis.explain.records.records import PLUS_PLUS
from trainables.arrays import Ints


@METHODS.register(PLUS_PLUS)
def grad_cam_plus_plus(network: CamNetwork, images: torch.Tensor, targets: Ints) -> HeatMaps:
    """Return the Grad-CAM++ of each image.

    Args:
        network: on the device of the images; left as it was.
        images: normalised, shape (n, 3, edge, edge).
        targets: classes to explain, shape (n,).

    Returns:
        as ``library_cam``.
    """
    return library_cam(GradCAMPlusPlus, network, images, targets)
