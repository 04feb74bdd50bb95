"""How many workers a cluster has slots for, asked again and again: a cluster grows and shrinks."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sweep.engine.ray_session import ClusterResources
from sweep.grid.auto.precision import gpu_capabilities
from trainables.runtime import Workers

REFRESH_SECONDS = 5.0


@dataclass
class ClusterCapacity:
    """The slots of a cluster. A slot is the place of one worker.

    Attributes:
        resources: returns what the cluster has now; asked at most every ``REFRESH_SECONDS``.
        worker: CPUs and GPUs of one worker.
        largest: slots of the largest cluster that an autoscaler may make of this one.
        clock: returns seconds.
    """

    resources: Callable[[], ClusterResources]
    worker: Workers
    largest: int = 0
    clock: Callable[[], float] = time.monotonic
    _asked: float = field(init=False, default=-math.inf)
    _known: ClusterResources = field(init=False, default=ClusterResources(()))

    def slots(self) -> int:
        """Return the number of slots."""
        return slots(self._now(), self.worker)

    def slots_per_node(self) -> int:
        """Return the slots of the smallest node that has any; 1 if there is none."""
        return min((count for count in slots_of_nodes(self._now(), self.worker) if count), default=1)

    def headroom(self) -> int:
        """Return how many slots an autoscaler may add if stages wait for them."""
        return max(0, self.largest - self.slots())

    def _now(self) -> ClusterResources:
        if self.clock() - self._asked >= REFRESH_SECONDS:
            self._known, self._asked = self.resources(), self.clock()
        return self._known


def worker_shape(cluster: ClusterResources, threads: int) -> Workers:
    """Return the resources of one worker.

    Args:
        cluster: what the cluster has.
        threads: CPU threads that a stage asks for.

    Returns:
        a GPU with its share of the smallest node's CPUs, at most ``threads``; without GPUs ``threads`` CPUs.
    """
    shares = [cpus // gpus for cpus, gpus in cluster.nodes if gpus]
    return Workers(1, float(max(1, min(threads, *shares))), 1.0) if shares else Workers(1, float(threads))


def slots(cluster: ClusterResources, worker: Workers) -> int:
    """Return the number of slots of a cluster.

    Args:
        cluster: what the cluster has.
        worker: CPUs and GPUs of one worker.
    """
    return sum(slots_of_nodes(cluster, worker))


def slots_of_nodes(cluster: ClusterResources, worker: Workers) -> list[int]:
    """Return the number of slots of each node: one per GPU; without GPUs, by the CPUs of one worker.

    Args:
        cluster: what the cluster has.
        worker: CPUs and GPUs of one worker.
    """
    return [gpus if worker.gpus else int(cpus // worker.cpus) for cpus, gpus in cluster.nodes]


def too_wide_message(stages: int, worker: Workers) -> str:
    """Return the error message for stages that no node can run.

    Args:
        stages: how many there are.
        worker: CPUs and GPUs of one worker.
    """
    return (
        f"{stages} stages are wider than the cluster: each needs {worker.cpus:g} CPUs on one node (recipe.threads), "
        "and no node has so many. Take fewer threads (--set recipe.threads=…) or another cluster (--address)"
    )


def too_wide_here(threads: Sequence[int]) -> str | None:
    """Return an error message if this machine alone cannot run stages of so many CPU threads each, else None."""
    here = ClusterResources(((os.cpu_count() or 1, len(gpu_capabilities())),))
    worker = worker_shape(here, max(threads))
    return None if slots(here, worker) else too_wide_message(len(threads), worker)


def resources(worker: Workers) -> Mapping[str, float]:
    """Return one worker's resources in Ray's terms."""
    return {"CPU": worker.cpus} | ({"GPU": worker.gpus} if worker.gpus else {})
