"""The explained network with random weights: what its maps look like without training."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.target_layer import CamNetwork
from analysis.explain.records.records import ALL_RANDOM, HEAD_RANDOM
from trainables.models.backbones import Backbone, build

KINDS = (HEAD_RANDOM, ALL_RANDOM)
"""Which weights are random; named after the values that are computed with them."""
HEAD_SD = 0.02
"""SD of the head's weights where its initialisation is zero: no map could be read through a head of zeros."""


def randomised(kind: str, model: ExplainedModel, seed: int) -> CamNetwork:
    """Return a second network with random weights; it shares no memory with the trained one.

    Args:
        kind: one of ``KINDS``: trained weights with a new head, or all weights as before training.
        model: the explained network.
        seed: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(model.stage.model, model.edge, len(model.classes))
        _fill_zero_head(fresh)
    if kind == HEAD_RANDOM:
        fresh.load_backbone(model.backbone.module.state_dict(), "the trained network")
    module = fresh.module.to(model.input_spec.device).eval()
    layer = model.network.layer
    return CamNetwork(module, replace(layer, layer=module.get_submodule(layer.name)))


def _fill_zero_head(backbone: Backbone) -> None:
    for name, parameter in backbone.module.named_parameters():
        if name in backbone.head and parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=HEAD_SD)
