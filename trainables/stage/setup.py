"""Setup of a stage: its data, its network with initial weights, its start rate; each verified first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from trainables.data.loading.batches import InputSpec, Part, TrainingBatches
from trainables.data.packing.manifest import DamagedDataError
from trainables.data.packing.prepare import Packed, load
from trainables.errors import DamagedError, StageError
from trainables.hashing import derive_seed, file_sha256, short_key, tidy_rate
from trainables.models.backbones import Backbone, State, build
from trainables.models.weights import read_weights, unpack_weights
from trainables.specs import FileWeights, Stage, StageWeights
from trainables.stage.task import StageTask
from trainables.store import layout
from trainables.store.node_inputs import data_folder, discard_copy, weights_file
from trainables.store.study import Document, StageFolder, Study
from trainables.training import memory
from trainables.training.distributed import DistributedContext


@dataclass(frozen=True)
class Setup:
    """Everything that a stage works with.

    Attributes:
        task: the stage, its study and its log.
        distributed: the workers of the stage; this one's device.
        micro_batch: images that a worker takes at once; None: its whole share of the batch.
        backbone: with its initial weights, still on the CPU.
        parts: ``train`` and ``val``; of a cell also ``test``, which training is not given.
        learning_rate: start rate; NaN for a range test, which has none.
        upstream_digests: key of each stage whose weights it starts from -> SHA-256 (hex) of these.
    """

    task: StageTask
    distributed: DistributedContext
    micro_batch: int | None
    backbone: Backbone
    parts: dict[str, Part]
    learning_rate: float
    upstream_digests: dict[str, str]

    @property
    def stage(self) -> Stage:
        """The specification."""
        return self.task.stage

    @cached_property
    def input_spec(self) -> InputSpec:
        """Size, normalisation and device of the images that the network takes."""
        edge = self.stage.recipe.image_size
        return InputSpec(edge, self.backbone.mean, self.backbone.std, self.distributed.device)

    @property
    def batches(self) -> TrainingBatches:
        """The training images, epoch by epoch."""
        stage, recipe = self.stage, self.stage.recipe
        return TrainingBatches(
            self.parts["train"], self.input_spec, recipe.augmentation, recipe.batch_size, stage.seed, stage.fold
        )


def set_up(task: StageTask, distributed: DistributedContext, micro_batch: int | None) -> Setup:
    """Configure this process and load what the stage works with.

    Args:
        task: the stage, its study and where its inputs are.
        distributed: the workers of the stage.
        micro_batch: images that a worker takes at once; None: its whole share of the batch.

    Raises:
        StageError: if the data or weights found are not those that were planned.
        DamagedError: if weights of an upstream stage are corrupt.
        UserError: if the weights do not fit the network, it cannot be built, the prepared data are damaged, or an
            entry that another distribution publishes is not installed here as it was planned.
    """
    stage, study = task.stage, task.study
    for plugin in stage.plugins:
        plugin.refuse_other_version()
    memory.keep_for_next_step(distributed.device)
    torch.set_num_threads(stage.recipe.threads)
    cv2.setNumThreads(stage.recipe.threads)
    data = _data(task)
    torch.manual_seed(derive_seed("weights", stage.seed, stage.fold))
    recipe = stage.recipe
    backbone = build(stage.model, recipe.image_size, len(data.classes), recipe.normalisation)
    upstream_digests = _load_initial_weights(task, backbone)
    rate = _start_rate(stage, study)
    parts = {name: part.on(distributed.device) for name, part in _parts(stage, study, data).items()}
    return Setup(task, distributed, micro_batch, backbone, parts, rate, upstream_digests)


def _data(task: StageTask) -> Packed:
    """Open the stage's data, all of it verified. This node's own copy, where it is damaged, is downloaded again."""
    try:
        return _verified(task)
    except DamagedDataError:
        if not discard_copy(task.runtime, task.stage.data.name):
            raise
        return _verified(task)


def _verified(task: StageTask) -> Packed:
    data = load(data_folder(task.runtime, task.stage.data.name), task.runtime.data_since)
    _refuse_other_data(task.stage, data)
    return data.verify()


def _refuse_other_data(stage: Stage, data: Packed) -> None:
    if data.fingerprint != stage.data.fingerprint:
        raise StageError(
            f"the prepared data set {stage.data.name} at {data.folder} has the fingerprint {short_key(data.fingerprint)}, the stage wants {short_key(stage.data.fingerprint)}"
        )


def _parts(stage: Stage, study: Study, data: Packed) -> dict[str, Part]:
    """Return the parts of the stage's fold. A split names images: their rows in the prepared data may be in any order."""
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
    _, result = _committed(study, str(stage.found_rate.key), "range test")
    return tidy_rate(float(result["learning_rate"]) * stage.found_rate.times)


def _load_initial_weights(task: StageTask, backbone: Backbone) -> dict[str, str]:
    """Load the initial weights into a network; return the digest of those of an upstream stage, by its key."""
    initial = task.stage.initial
    if isinstance(initial, FileWeights):
        file = weights_file(task.runtime, str(initial.sha256))
        if file_sha256(file) != initial.sha256:
            raise StageError(f"{file} is not the file of weights that was planned: its SHA-256 differs")
        backbone.load_backbone(read_weights(file), str(file))
    elif isinstance(initial, StageWeights):
        state, digest = _upstream_weights(task.study, str(initial.key))
        backbone.load_backbone(state, f"stage {short_key(initial.key)}")
        return {str(initial.key): digest}
    return {}


def _upstream_weights(study: Study, key: str) -> tuple[State, str]:
    folder, result = _committed(study, key, "upstream stage")
    try:
        content = folder.read_verified(layout.WEIGHTS, result)
    except ValueError as error:
        raise DamagedError(key, str(error)) from error
    return unpack_weights(content), str(result["digests"][layout.WEIGHTS])


def _committed(study: Study, key: str, what: str) -> tuple[StageFolder, Document]:
    """Return the folder and the result of a stage that this one needs."""
    folder = study.find(key)
    result = folder.result()
    if result is None:
        raise StageError(f"the {what} {folder.name} has no result")
    return folder, result
