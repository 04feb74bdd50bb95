"""A trained stage, ready to be explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch

from analysis.explain.methods.target_layer import CamNetwork, cam_layer
from analysis.inference.trained_model import inference_device, open_trained
from trainables.data.loading.batches import InputSpec
from trainables.models.backbones import Backbone
from trainables.specs import Stage
from trainables.store.study import StageFolder


@dataclass(frozen=True)
class ExplainedModel:
    """A stage's network with its trained weights.

    Attributes:
        stage: its specification.
        backbone: in evaluation mode.
        network: the same module, with the layer that maps are read from.
        input_spec: size, normalisation and device of the network's input.
    """

    stage: Stage
    backbone: Backbone
    network: CamNetwork
    input_spec: InputSpec

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.stage.data.classes

    @property
    def edge(self) -> int:
        """Edge of the network's input, pixels."""
        return self.input_spec.edge


def load_trained(folder: StageFolder, layer: str | None = None, allow_code: bool = False) -> ExplainedModel:
    """Build a stage's network with its verified weights.

    Args:
        folder: of the stage.
        layer: name of the layer that maps are read from; None: as ``cam_layer`` finds it.
        allow_code: whether the study may choose code.

    Raises:
        UserError: if the stage is not done, its weights were dropped or changed, or no layer has a map.
    """
    trained = open_trained(folder, allow_code)
    stage, backbone, device = trained.stage, trained.backbone(), inference_device()
    edge, module = stage.recipe.image_size, backbone.module.to(device)
    network = CamNetwork(module, cam_layer(stage.model, module, edge, layer))
    return ExplainedModel(stage, backbone, network, InputSpec(edge, backbone.mean, backbone.std, device))


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Limit the CPU threads of torch and OpenCV within the context."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
