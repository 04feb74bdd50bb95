"""What a stage works with: its data, its network with its initial weights, its start rate. All checked first."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from trainables.data.loading.batches import InputSpec, Part, TrainingBatches
from trainables.data.packing.prepare import Packed, load
from trainables.errors import DamagedError, StageError
from trainables.hashing import derive_seed, short_key, tidy_rate
from trainables.models.backbones import Backbone, State, build
from trainables.models.weights import read_weights, unpack_weights
from trainables.runtime import RuntimeContext
from trainables.specs import FileWeights, Stage, StageWeights
from trainables.store import layout
from trainables.store.node_inputs import data_folder, weights_file
from trainables.store.study import StageFolder, Study
from trainables.training import memory
from trainables.training.distributed import DistributedContext


@dataclass(frozen=True)
class Setup:
    """All that a stage works with.

    Attributes:
        backbone: with its initial weights, still on the CPU.
        input_spec: what it wants to see, and where.
        parts: ``train`` and ``val``; of a cell ``test`` as well, which training is not given.
        learning_rate: the start rate; NaN of a range test, which has none.
        upstream: keys of the stages whose weights it starts from -> digests of these.
    """

    stage: Stage
    runtime: RuntimeContext
    folder: StageFolder
    distributed: DistributedContext
    backbone: Backbone
    input_spec: InputSpec
    parts: dict[str, Part]
    learning_rate: float
    upstream: dict[str, str]

    @property
    def batches(self) -> TrainingBatches:
        """The training images, epoch by epoch."""
        stage, recipe = self.stage, self.stage.recipe
        return TrainingBatches(
            self.parts["train"], self.input_spec, recipe.augmentation, recipe.batch_size, stage.seed, stage.fold
        )


def set_up(stage: Stage, study: Study, runtime: RuntimeContext, distributed: DistributedContext) -> Setup:
    """Prepare the process and gather what the stage works with.

    Raises:
        StageError: if the data or weights at hand are not those that were planned.
        UserError: if the weights do not fit the network, or it cannot be built; or if an entry that another
            distribution publishes is not installed here as it was planned.
    """
    for plugin in stage.plugins:
        plugin.refuse_other_version()
    memory.keep_for_next_step(distributed.device)
    torch.set_num_threads(stage.recipe.threads)
    cv2.setNumThreads(stage.recipe.threads)
    data = load(data_folder(runtime, stage.data.name))
    _refuse_other_data(stage, data)
    torch.manual_seed(derive_seed("weights", stage.seed, stage.fold))
    backbone = build(stage.model, stage.recipe.image_size, len(data.classes))
    upstream = _start_from(stage, study, runtime, backbone)
    input_spec = InputSpec(stage.recipe.image_size, backbone.mean, backbone.std, distributed.device)
    rate = _start_rate(stage, study)
    parts = {name: part.on(distributed.device) for name, part in _parts(stage, study, data).items()}
    return Setup(stage, runtime, study.folder(stage), distributed, backbone, input_spec, parts, rate, upstream)


def _refuse_other_data(stage: Stage, data: Packed) -> None:
    if data.fingerprint != stage.data.fingerprint:
        raise StageError(
            f"the prepared data set {stage.data.name} at {data.folder} has the fingerprint {short_key(data.fingerprint)}, the stage wants {short_key(stage.data.fingerprint)}"
        )


def _parts(stage: Stage, study: Study, data: Packed) -> dict[str, Part]:
    """Return the parts of the stage's fold. The split names images; rows of the packed form may be in another order."""
    table = study.read_split(str(stage.split))
    fold = 0 if stage.fold is None else stage.fold
    mask = table.column("fold").to_numpy() == fold
    ids = np.array(table.column("image_id").to_pylist(), dtype=object)[mask]
    names = np.array(table.column("split").to_pylist(), dtype=object)[mask]
    row_of = {image_id: row for row, image_id in enumerate(data.index.column("image_id").to_pylist())}
    wanted = ("train", "val", "test") if stage.kind == "finetune" else ("train", "val")
    return {name: Part(data, np.array([row_of[i] for i in ids[names == name]], dtype=np.int64)) for name in wanted}


def _start_rate(stage: Stage, study: Study) -> float:
    if stage.found_rate is None:
        return math.nan if stage.learning_rate is None else stage.learning_rate
    folder = study.find(str(stage.found_rate.key))
    result = folder.result()
    if result is None:
        raise StageError(f"the range test {folder.name} has no result")
    return tidy_rate(float(result["learning_rate"]) * stage.found_rate.times)


def _start_from(stage: Stage, study: Study, runtime: RuntimeContext, backbone: Backbone) -> dict[str, str]:
    """Load the initial weights; return the digests of those that came from upstream."""
    if isinstance(stage.initial, FileWeights):
        file = weights_file(runtime, str(stage.initial.sha256))
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != stage.initial.sha256:
                raise StageError(f"{file} is not the file of weights that was planned: its SHA-256 differs")
        backbone.load_backbone(read_weights(file), str(file))
    elif isinstance(stage.initial, StageWeights):
        state, digest = _upstream_weights(study, str(stage.initial.key))
        backbone.load_backbone(state, f"stage {short_key(stage.initial.key)}")
        return {str(stage.initial.key): digest}
    return {}


def _upstream_weights(study: Study, key: str) -> tuple[State, str]:
    folder = study.find(key)
    result = folder.result()
    if result is None:
        raise StageError(f"the upstream stage {folder.name} has no result")
    try:
        content = folder.read_verified(layout.WEIGHTS, result)
    except ValueError as error:
        raise DamagedError(key, str(error)) from error
    return unpack_weights(content), str(result["digests"][layout.WEIGHTS])
