"""How wide a stage runs: what widening is assumed to bring, and how much of it a stage is given.

A width is the number of slots (GPUs, or groups of CPU threads) that work at one stage. The batch is the same at
any width, so more workers mean smaller shares of it and more waiting for each other: widening costs something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from trainables.specs import Recipe

EXPONENT = 0.95
"""Assumed efficiency of widening: w workers are w^0.95 times as fast as one. An assumption, the same in the schedule,
the simulation and the estimates: 2 workers bring 1.93, 4 bring 3.73, 8 bring 7.21."""

LEAST_SHARE = 4
"""Images of a batch that a worker gets at least: below that a GPU mostly waits."""

Speedup = Callable[[int], float]


class ParallelWork(Protocol):
    """What is asked of a task here."""

    @property
    def key(self) -> str: ...  # noqa: D102

    @property
    def narrowest(self) -> int: ...  # noqa: D102


def speedup(width: int) -> float:
    """Return how many times as fast so many workers are as one."""
    return float(width**EXPONENT)


def widest(recipe: Recipe, slots: int | None = None) -> int:
    """Return the most workers a stage is given: a power of two, each with at least ``LEAST_SHARE`` images of a batch.

    Powers of two divide the usual batches without rest, and nodes of 2, 4 or 8 GPUs without a GPU left over.

    Args:
        recipe: how the stage trains.
        slots: of the cluster, where they are known.
    """
    most = max(1, recipe.batch_size // LEAST_SHARE)
    return doubled(1, most if slots is None else max(1, min(most, slots)))


def doubled(least: int, most: int) -> int:
    """Return the largest ``least × 2^i`` that is at most ``most`` (``least``, if even that is more)."""
    return least << max(0, int(math.log2(max(1, most // least))))


def wanted(chain: float, horizon: float, least: int, most: int, faster: Speedup = speedup) -> int:
    """Return the smallest width with which a chain of work ends within the horizon, or the largest there is.

    Args:
        chain: work of the stage and of the longest chain behind it.
        horizon: time in which all work that is left would be done, if it were spread evenly over the slots.
        least: smallest width; others are this times a power of two.
        most: largest width.
        faster: speed-up of a width.
    """
    width = least
    while width * 2 <= most and chain / faster(width) > horizon:
        width *= 2
    return width


def too_wide(tasks: Iterable[ParallelWork], slots: int) -> list[str]:
    """Return the keys of the stages that need more slots at once than the cluster can ever have."""
    return [task.key for task in tasks if task.narrowest > slots]
