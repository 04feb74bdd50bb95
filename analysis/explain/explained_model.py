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
from trainables.errors import UserError, suggestion
from trainables.models.backbones import Backbone, build
from trainables.models.weights import unpack_weights
from trainables.specs import Stage
from trainables.store.study import RESULT, StageFolder, Study

WEIGHTS = "weights.safetensors"


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


def find_stage(study: Study, key_or_name: str) -> StageFolder:
    """Return the folder of the stage of a key (or its first characters) or name.

    Raises:
        UserError: if there is none, or more than one.
    """
    folders = {folder.name: folder for folder in study.folders()}
    found = [
        folder
        for name, folder in folders.items()
        if key_or_name in (name, name.partition("-")[2].rpartition("-")[0])
        or (len(key_or_name) >= 6 and name.rpartition("-")[2].startswith(key_or_name[:16]))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"--stage {key_or_name} fits {len(found)} stages: {', '.join(f.name for f in found)}. Give the key"
        )
    there = ", ".join([*folders][:3]) + (" …" if len(folders) > 3 else "")
    raise UserError(
        f"no stage {key_or_name} in {study.storage.path('stages')}{suggestion(key_or_name, folders)} Give a key, a name or the name "
        f"of a folder; there are {len(folders)}: {there or 'none'}"
    )


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
        raise UserError(f"{folder.path()} has no {RESULT}: the stage is not done, there is nothing to explain yet")
    try:
        stage = Stage.from_document(folder.stage())
        if WEIGHTS not in result.get("digests", {}):
            raise UserError(
                f"{folder.path()} keeps no weights ({result.get('weights', 'no word why')}), so its network cannot be explained. "
                "Set keep_weights: all in the grid, delete this stage's folder and run the grid again"
            )
        state = unpack_weights(folder.read_verified(WEIGHTS, result))
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
