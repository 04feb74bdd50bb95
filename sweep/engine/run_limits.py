"""The limits of a run, as the command line sets them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RunLimits:
    """Limits of a run.

    Attributes:
        fail_fast: whether nothing more starts once a stage has failed for good.
        deadline: seconds from the beginning of the command in which it must end.
        max_cost: money that the run may cost.
        price: of one worker for one hour; None: by the price table for the cluster's devices.
        hang_timeout: seconds without a heartbeat after which a stage is killed and tried again.
        widest: largest number of workers of a stage; None: the number of GPUs, or 1 without GPUs.
        checkpoint: least seconds between two checkpoints of a stage in the study.
        allow_open: whether a cluster may be joined that needs no token.
    """

    fail_fast: bool = False
    deadline: float = math.inf
    max_cost: float = math.inf
    price: float | None = None
    hang_timeout: float = 1800.0
    widest: int | None = None
    checkpoint: float = 60.0
    allow_open: bool = False
