"""Where things are at hand on this machine. None of it can change a result, so none of it is in a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KeepWeights = Literal["all", "pretrain"]


@dataclass(frozen=True)
class RuntimeContext:
    """Places that a stage needs.

    Attributes:
        data: name of a data set -> folder of its packed form.
        weights: SHA-256 -> file of initial weights.
        keep_weights: which trained weights stay in the study: of ``all`` stages, or of ``pretrain`` only.
        checkpoint_seconds: how long at least lies between two checkpoints of a stage under way in the study.
        scratch: folder on the node's own disk for checkpoints beside those; None where the study is near enough.
        depot: storage that holds data and weights for nodes that do not see the places above; None: all see them.
        pulse_seconds: how long at least lies between two signs of life of a stage.
        data_since: start of the run, in seconds since the epoch: each node verifies prepared data once for each run.
    """

    data: dict[str, str]
    weights: dict[str, str]
    keep_weights: KeepWeights = "all"
    checkpoint_seconds: float = 60.0
    scratch: str | None = None
    depot: str | None = None
    pulse_seconds: float = 5.0
    data_since: float = 0.0


@dataclass(frozen=True)
class Workers:
    """Who works at a stage: how many, and what each is given. None of it is in the key.

    Attributes:
        count: 1: the process that runs the stage; more: a Ray Train run.
        cpus: CPUs for each.
        gpus: GPUs for each.
    """

    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0


ALONE = Workers()
