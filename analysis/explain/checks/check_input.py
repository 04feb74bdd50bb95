"""What the checks of heat maps are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.explain.checks.random_network import randomised
from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.heat_maps import HeatMaps
from analysis.explain.methods.registry import METHODS
from analysis.explain.methods.target_layer import CamNetwork
from trainables.arrays import Ints, Pixels
from trainables.hashing import derive_seed

BATCH = 8
"""Images whose activations and gradients are in memory at a time."""
CellMask = NDArray[np.uint8]
"""Shape (edge, edge): 0 background, 1 cytoplasm, 2 nucleus."""


@dataclass(frozen=True)
class CheckInput:
    """Images, their maps and masks, and the network.

    Attributes:
        model: the explained network.
        image_ids: ids of the images.
        pixels: the images as given to the network before normalisation, shape (n, edge, edge, 3).
        targets: classes to explain, shape (n,).
        maps: method -> maps at their own resolution, shape (n, rows, columns).
        heat: method -> the same enlarged, shape (n, edge, edge).
        masks: of each image, None where there is none.
        steps: of the deletion and insertion curves; 0: only checks that need no further pass of a network.
    """

    model: ExplainedModel
    image_ids: Sequence[str]
    pixels: Pixels
    targets: Ints
    maps: Mapping[str, HeatMaps]
    heat: Mapping[str, HeatMaps]
    masks: Sequence[CellMask | None]
    steps: int
    _randomised: dict[str, Mapping[str, HeatMaps]] = field(default_factory=dict)

    def randomised_maps(self, kind: str) -> Mapping[str, HeatMaps]:
        """Return the maps of the network with random weights, by method.

        Computed once, and by one network at a time: each takes as much memory as the trained one.

        Args:
            kind: one of ``random_network.KINDS``.
        """
        if kind not in self._randomised:
            network = randomised(kind, self.model, derive_seed("randomised", kind, self.model.stage.key))
            found: dict[str, list[HeatMaps]] = {method: [] for method in self.maps}
            for rows in batches(len(self.targets)):
                images = self.model.input_spec.tensor(self.pixels[rows])
                for method, maps in maps_of(network, images, self.targets[rows]).items():
                    found[method].append(maps)
            self._randomised[kind] = {method: np.concatenate(maps) for method, maps in found.items()}
        return self._randomised[kind]


def maps_of(network: CamNetwork, images: torch.Tensor, targets: Ints) -> dict[str, HeatMaps]:
    """Return the maps of a batch by all methods.

    Args:
        network: on the device of the images.
        images: normalised, shape (n, 3, edge, edge).
        targets: classes to explain, shape (n,).

    Returns:
        method -> maps, shape (n, rows, columns).
    """
    return {name: METHODS[name](network, images, targets) for name in METHODS.names()}


def batches(images: int) -> Iterator[slice]:
    """Yield the indices of each batch of so many images."""
    for start in range(0, images, BATCH):
        yield slice(start, start + BATCH)
