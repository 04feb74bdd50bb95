"""How many workers a stage gets: the assumed speed-up, the limits, and the number that is wanted.

Each worker has a slot (a GPU, or a group of CPU threads). The global batch is the same on any number of workers: more
workers have smaller shares of it and wait more for each other, so data parallelism has a price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from trainables.specs import Recipe

EXPONENT = 0.95
"""Assumed scaling: n workers are n^0.95 times as fast as one (1.93, 3.73, 7.21 for 2, 4, 8). An assumption, not measured;
the schedule, the simulation and the estimates use the same."""

LEAST_SHARE = 4
"""Fewest images of a batch per worker: with fewer a GPU is mostly idle."""

Speedup = Callable[[int], float]


class ParallelWork(Protocol):
    """The part of a task that decides where it fits."""

    @property
    def key(self) -> str: ...  # noqa: D102

    @property
    def min_workers(self) -> int: ...  # noqa: D102


def speedup(num_workers: int) -> float:
    """Return how many times as fast as one worker this many are assumed to be."""
    return float(num_workers**EXPONENT)


def max_workers(recipe: Recipe, slots: int | None = None) -> int:
    """Return the most workers a stage is given: a power of two, each with at least ``LEAST_SHARE`` images of a batch.

    Powers of two divide the usual batch sizes, and nodes of 2, 4 or 8 GPUs, without remainder.

    Args:
        recipe: how the stage trains.
        slots: of the cluster; None: no limit.

    Returns:
        At least 1.
    """
    most = max(1, recipe.batch_size // LEAST_SHARE)
    return largest_doubling(1, most if slots is None else max(1, min(most, slots)))


def largest_doubling(least: int, most: int) -> int:
    """Return the largest ``least × 2^i`` that is at most ``most``.

    Args:
        least: the result for i = 0, at least 1.
        most: limit of the result.

    Returns:
        ``least`` if even that is more than ``most``.
    """
    return least << max(0, int(math.log2(max(1, most // least))))


def fewest_in_time(chain: float, time: float, least: int, most: int, scaling: Speedup = speedup) -> int:
    """Return the fewest workers with which a chain of work ends in time, or the most allowed if none do.

    Args:
        chain: work of the stage and of the longest chain behind it, on one worker.
        time: in which it is to end, in the same unit.
        least: fewest workers; other numbers are this times a power of two.
        most: most workers.
        scaling: speed-up of a number of workers.

    Returns:
        ``least`` times a power of two.
    """
    num_workers = least
    while num_workers * 2 <= most and chain / scaling(num_workers) > time:
        num_workers *= 2
    return num_workers


def unplaceable(tasks: Iterable[ParallelWork], slots: int) -> list[str]:
    """Return the keys of the stages that need more slots at once than the cluster can ever have.

    Args:
        tasks: the stages.
        slots: of the cluster at its largest.
    """
    return [task.key for task in tasks if task.min_workers > slots]
