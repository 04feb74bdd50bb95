"""The workers of one stage: how they share a network and a batch, add up what they saw, and gather what they scored.

With one worker all of this does nothing. Several talk through ``torch.distributed``, whose process group Ray Train has
set up (NCCL on GPUs, gloo on CPUs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn

from trainables.compat.torch import batch_norms
from trainables.data.loading.batches import WorkerShare
from trainables.errors import StageError


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
        """Whether any worker's node is about to be taken away. Collective: every worker must call it at the same step."""
        return self.is_preempted is not never_preempted and bool(
            self.all_reduce(np.array([float(self.is_preempted())]))[0]
        )

    def barrier(self) -> None:
        """Wait until every worker is here. Collective."""
        self.all_reduce(np.zeros(1))

    def all_reduce(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all workers of an array, the same on each. Collective."""
        if self.size == 1:
            return values
        tensor = torch.from_numpy(np.asarray(values, dtype=np.float64).copy()).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def all_gather(self, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Put the rows that the workers scored back in order. Collective.

        Worker r has the rows r, r + size, r + 2 size and so on.

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


def with_sync_batch_norm(module: nn.Module, distributed: DistributedContext) -> nn.Module:
    """Make batch norm see the whole batch of all workers. Never run on GPUs by us.

    Args:
        module: the network; changed in place, or returned as it is where there is one worker or no batch norm.
        distributed: the workers.

    Raises:
        StageError: on CPU, where torch has no synchronised batch norm.
    """
    normed = batch_norms(module)
    if distributed.size == 1 or not normed:
        return module
    if distributed.device.type != "cuda":
        raise StageError(
            f"the network has {len(normed)} batch norm layers, and torch synchronises them over several workers on "
            "GPUs only: run this stage on one worker"
        )
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted


def data_parallel(module: nn.Module, distributed: DistributedContext) -> nn.Module:
    """Return a network whose gradients are averaged over the workers (DistributedDataParallel), if there are several.

    Args:
        module: the network, on its device.
        distributed: the workers.
    """
    if distributed.size == 1:
        return module
    devices = [distributed.device] if distributed.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=devices)
