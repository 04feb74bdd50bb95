"""The limits of a run, as the command line sets them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RunLimits:
    """What the command line asks of a run.

    Attributes:
        fail_fast: whether nothing more starts once a stage has failed for good.
        deadline: seconds from the beginning of the run in which it must end.
        max_cost: money it may cost.
        price: of one worker for one hour; None: what the price table says of the cluster's devices.
        hang_timeout: seconds after its last sign of life after which a stage is ended and tried again.
        widest: workers a stage is given at most; None: as many as there are GPUs, one where there are none.
        checkpoint: seconds that lie at least between two checkpoints of a stage in the study.
        allow_open: whether a cluster may be joined that lets anyone in.
    """

    fail_fast: bool = False
    deadline: float = math.inf
    max_cost: float = math.inf
    price: float | None = None
    hang_timeout: float = 1800.0
    widest: int | None = None
    checkpoint: float = 60.0
    allow_open: bool = False
