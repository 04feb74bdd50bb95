"""The workers of one stage: how they share a batch, add up what they saw, and gather what they scored.

A stage of one worker is a world of one, in which all of this does nothing. Wider worlds talk through
``torch.distributed``, whose process group Ray Train has set up (NCCL on GPUs, gloo on CPUs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from trainables.data.loading.batches import WorkerShare


def never_preempted() -> bool:
    """No node is about to be taken away."""
    return False


@dataclass(frozen=True)
class DistributedContext:
    """This worker's place among those of its stage.

    Attributes:
        rank: from 0; worker 0 leads: it alone writes.
        size: number of workers.
        device: where this worker computes.
        is_preempted: says whether this worker's node is about to be taken away.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    is_preempted: Callable[[], bool] = never_preempted

    @property
    def is_main(self) -> bool:
        """Whether this worker writes."""
        return self.rank == 0

    @property
    def share(self) -> WorkerShare:
        """Its share of every batch and of every part that is scored."""
        return WorkerShare(self.rank, self.size)

    def any_preempted(self) -> bool:
        """Whether any worker's node is about to be taken away: all hear the same, so all must ask at the same step."""
        return self.is_preempted is not never_preempted and bool(
            self.all_reduce(np.array([float(self.is_preempted())]))[0]
        )

    def barrier(self) -> None:
        """Wait until every worker is here."""
        self.all_reduce(np.zeros(1))

    def all_reduce(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all workers of an array of float64, the same on each."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.asarray(values, dtype=np.float64).copy()).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def all_gather(self, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Put the rows that the workers scored back in order. Worker r has rows r, r + size, r + 2 size and so on.

        Args:
            rows: of this worker, shape (its share of ``count``, width).
            count: rows in all.

        Returns:
            all rows, shape (count, width), on every worker.

        Raises:
            RuntimeError: if a row is missing or there twice.
        """
        places = np.arange(self.rank, count, self.size)
        if len(rows) != len(places):
            raise RuntimeError(f"worker {self.rank} of {self.size} scored {len(rows)} of its {len(places)} images")
        if self.size == 1:
            return rows
        return self._in_order(rows, places, count)

    def _in_order(self, rows: NDArray[np.float32], places: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        longest = -(-count // self.size)
        # A worker may lack the last row: it sends one of place -1, which is dropped. Nothing is scored twice.
        sent = np.zeros((longest, rows.shape[1] + 1), dtype=np.float64)
        sent[:, 0] = -1
        sent[: len(rows), 0], sent[: len(rows), 1:] = places, rows
        tensor = torch.from_numpy(sent).to(self.device)
        received = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(received, tensor)
        every = torch.cat(received).cpu().numpy()
        every = every[every[:, 0] >= 0]
        order = np.argsort(every[:, 0], kind="stable")
        if not np.array_equal(every[order, 0], np.arange(count)):
            raise RuntimeError(f"{len(every)} rows came from the workers, expected each of {count} once")
        return every[order, 1:].astype(np.float32)
