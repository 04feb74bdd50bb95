"""Does a map depend on what was learned? The check of Adebayo et al. 2018, "Sanity Checks for Saliency Maps"."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn

from analysis.explain.methods.grad_cam import CamNetwork, is_flat
from analysis.explain.methods.target_layer import CamLayer
from analysis.explain.records.records import HEAD_RANDOM
from trainables.models.backbones import Backbone, build
from trainables.specs import ModelSpec

HEAD_SD = 0.02
"""SD of a head's weights where the architecture's own are all zero: no map can be read through those."""


def randomised(
    check: str, spec: ModelSpec, trained: Backbone, layer: CamLayer, edge: int, classes: int, seed: int
) -> CamNetwork:
    """Return a second network: with the head drawn anew (``HEAD_RANDOM``), or as it is before any training.

    It shares no memory with the trained one.
    """
    device = next(trained.module.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(spec, edge, classes)
        _never_zero(fresh)
    if check == HEAD_RANDOM:
        fresh.load_backbone(trained.module.state_dict(), "the trained network")
    module = fresh.module.to(device).eval()
    return CamNetwork(module, replace(layer, layer=module.get_submodule(layer.name)))


def _never_zero(backbone: Backbone) -> None:
    for name, parameter in backbone.module.named_parameters():
        if name in backbone.head and parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=HEAD_SD)


def similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return Spearman's rho of two maps (rows, columns) at their own resolution; None where one is flat."""
    if is_flat(first) or is_flat(second):
        return None
    return float(spearmanr(first.reshape(-1), second.reshape(-1)).statistic)
