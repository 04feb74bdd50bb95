"""Where things are at hand on this machine. None of it can change a result, so none of it is in a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KeepWeights = Literal["all", "pretrain"]


@dataclass(frozen=True)
class Site:
    """Places that a stage needs.

    Attributes:
        data: name of a data set -> folder of its packed form.
        weights: SHA-256 -> file of initial weights.
        keep_weights: which trained weights stay in the study: of ``all`` stages, or of ``pretrain`` only.
        checkpoint_seconds: how long at least lies between two checkpoints of a stage under way.
    """

    data: dict[str, str]
    weights: dict[str, str]
    keep_weights: KeepWeights = "all"
    checkpoint_seconds: float = 60.0
