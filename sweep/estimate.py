"""How much work a stage is, from FLOPs; and how long what is left will take, from what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from trainables.complexity import gflops
from trainables.specs import Stage

BACKWARD = 3.0
"""Forward and backward pass together, in forward passes."""


def cost(stage: Stage, images: Mapping[str, int]) -> float:
    """Return the work of a stage in GFLOP: images × epochs × three forward passes.

    Args:
        stage: the stage.
        images: training images of each part: split digest -> count (absent: 1, so that only ratios count).
    """
    per_image = gflops(stage.model, stage.recipe.image_size)
    return BACKWARD * per_image * stage.recipe.epochs * images.get(stage.split or "", 1)


class Clock:
    """Turns work into seconds, from the stages that have finished so far.

    Networks differ in how near they come to a processor's peak, so each architecture has its own rate
    once one of its stages is done; until then the mean over all serves.
    """

    def __init__(self) -> None:
        self._work: dict[str, float] = defaultdict(float)
        self._seconds: dict[str, float] = defaultdict(float)

    def measured(self, architecture: str, work: float, seconds: float) -> None:
        """Take in a finished piece of work."""
        self._work[architecture] += work
        self._seconds[architecture] += seconds

    def seconds(self, architecture: str, work: float) -> float | None:
        """Return the seconds some work will take on one worker, or None while nothing was measured."""
        if self._work.get(architecture):
            return work * self._seconds[architecture] / self._work[architecture]
        total = sum(self._work.values())
        return work * sum(self._seconds.values()) / total if total else None
