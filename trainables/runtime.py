"""Node-local paths, cadences and resources of a stage. None of them can change a result, so none is hashed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KeepWeights = Literal["all", "pretrain"]


@dataclass(frozen=True)
class RuntimeContext:
    """Where a node finds the inputs of a stage, and how often the stage reports and saves.

    Attributes:
        data: name of a data set -> folder of its prepared form, as the driver sees it.
        weights: SHA-256 (hex) -> file of initial weights, as the driver sees it.
        keep_weights: trained weights that stay in the study: of ``all`` stages, or of ``pretrain`` stages only.
        checkpoint_seconds: least time between two checkpoints of a running stage in the study.
        scratch: folder on the node's disk for more frequent checkpoints; None: those in the study suffice.
        artifact_store: storage from which nodes that do not see the paths above download them; None: all nodes see them.
        progress_seconds: least time between two progress reports within an epoch.
        data_since: start of the run, seconds since the epoch: each node verifies prepared data once for each run.
    """

    data: dict[str, str]
    weights: dict[str, str]
    keep_weights: KeepWeights = "all"
    checkpoint_seconds: float = 60.0
    scratch: str | None = None
    artifact_store: str | None = None
    progress_seconds: float = 5.0
    data_since: float = 0.0


@dataclass(frozen=True)
class Workers:
    """The workers of a stage.

    Attributes:
        count: 1: this process runs the stage; more: a Ray Train run.
        cpus: CPUs of each worker.
        gpus: GPUs of each worker.
    """

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0


ONE_WORKER = Workers()
