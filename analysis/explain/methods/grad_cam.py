"""Grad-CAM (Selvaraju et al. 2017), and how methods of pytorch-grad-cam are run.

The context manager of the library swallows an ``IndexError`` and keeps the graph of the last pass. Hooks are therefore
released here in any case, and the object is dropped.
"""

from __future__ import annotations

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from analysis.explain.methods.heat_maps import HeatMaps
from analysis.explain.methods.registry import METHODS
from analysis.explain.methods.target_layer import CamNetwork, evaluating
from analysis.explain.records.records import GRADCAM
from trainables.arrays import Ints


@METHODS.register(GRADCAM)
def grad_cam(network: CamNetwork, images: torch.Tensor, targets: Ints) -> HeatMaps:
    """Return the Grad-CAM of each image.

    Args:
        network: on the device of the images; left as it was.
        images: normalised, shape (n, 3, edge, edge).
        targets: classes to explain, shape (n,).

    Returns:
        as ``library_cam``.
    """
    return library_cam(GradCAM, network, images, targets)


def library_cam(method: type[BaseCAM], network: CamNetwork, images: torch.Tensor, targets: Ints) -> HeatMaps:
    """Run a method of pytorch-grad-cam at the resolution of its map.

    Args:
        method: class of the library.
        network: on the device of the images; left as it was.
        images: normalised, shape (n, 3, edge, edge).
        targets: classes to explain, shape (n,).

    Returns:
        shape (n, rows, columns), each map scaled to 0 to 1; all 0 where no place is evidence for the class.
    """
    rows, columns = network.layer.grid
    with evaluating(network.module) as module, torch.enable_grad():
        cam = method(module, [network.layer.layer], network.layer.reshape_transform)
        cam.get_target_width_height = lambda _: (columns, rows)  # do not enlarge yet
        try:
            found = cam(images.detach().clone().requires_grad_(), [ClassifierOutputTarget(int(t)) for t in targets])
        finally:
            cam.activations_and_grads.release()
            cam.outputs = None  # it keeps the graph
    return np.nan_to_num(np.asarray(found, dtype=np.float32), posinf=0.0, neginf=0.0)
