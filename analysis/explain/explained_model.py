"""A trained stage, ready to be explained: its weights are verified before they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import torch

from analysis.explain.methods.grad_cam import CamNetwork
from analysis.explain.methods.target_layer import cam_layer
from analysis.results.plan_file import explain
from trainables.data.loading.batches import InputSpec
from trainables.errors import UserError
from trainables.models.backbones import Backbone, build
from trainables.models.weights import unpack_weights
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import StageFolder


@dataclass(frozen=True)
class ExplainedModel:
    """A stage's network with its trained weights.

    Attributes:
        backbone: in evaluation, on the device of ``want``.
        input_spec: what the network wants to see.
    """

    stage: Stage
    backbone: Backbone
    network: CamNetwork
    input_spec: InputSpec

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.stage.data.classes


def load_trained(folder: StageFolder, layer: str | None = None) -> ExplainedModel:
    """Build a stage's network and load its verified weights.

    Args:
        folder: of the stage.
        layer: that maps are read from; None: as ``cam_layer`` finds it.

    Raises:
        UserError: if the stage is not done, its weights were dropped or changed, or its network has no map.
    """
    result = folder.result()
    if result is None:
        raise UserError(
            f"{folder.path()} has no {layout.RESULT}: the stage is not done, there is nothing to explain yet"
        )
    try:
        stage = Stage.from_document(folder.stage())
        if layout.WEIGHTS not in result.get("digests", {}):
            raise UserError(
                f"{folder.path()} keeps no weights ({result.get('weights', 'no word why')}), so its network cannot be explained. "
                "Set keep_weights: all in the grid, delete this stage's folder and run the grid again"
            )
        state = unpack_weights(folder.read_verified(layout.WEIGHTS, result))
    except (ValueError, OSError) as error:
        raise UserError(f"{folder.path()} cannot be explained: {explain(error)}") from error
    edge = stage.recipe.image_size
    backbone = build(stage.model, edge, len(stage.data.classes))
    try:
        backbone.module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"the weights in {folder.path()} do not fit {stage.model.model}: {explain(error)}") from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = backbone.module.to(device).eval()
    network = CamNetwork(module, cam_layer(stage.model, module, edge, layer))
    return ExplainedModel(stage, backbone, network, InputSpec(edge, backbone.mean, backbone.std, device))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, torch and OpenCV use so many CPU threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
