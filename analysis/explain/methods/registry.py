"""The explanation methods.

A new one is a function in a file of this package, registered by name::

    @METHODS.register("My-CAM")
    def my_cam(network: CamNetwork, images: torch.Tensor, targets: Ints) -> HeatMaps: ...

It gets normalised images (n, 3, edge, edge) and the class to explain for each, shape (n,), and returns a map per image,
shape (n, rows, columns), each scaled to 0 to 1, at its own resolution. It leaves the network as it was. Another
distribution publishes such a function in the entry-point group ``scenario_sweep.explanations``. All methods are drawn and
checked.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from analysis.explain.methods.heat_maps import HeatMaps
from analysis.explain.methods.target_layer import CamNetwork
from trainables.arrays import Ints
from trainables.registry import Registry

Method = Callable[[CamNetwork, torch.Tensor, Ints], HeatMaps]
METHODS: Registry[Method] = Registry("explanation", "explanations", "analysis.explain.methods")
