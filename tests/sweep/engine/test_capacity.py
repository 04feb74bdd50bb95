"""The slots of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.engine.capacity import ClusterCapacity, resources, slots, worker_shape
from sweep.engine.ray_session import ClusterResources
from trainables.runtime import Workers


@pytest.mark.parametrize(
    ("nodes", "threads", "worker", "places"),
    [
        (((2, 0),), 1, Workers(1, 1.0), 2),
        (((8, 0), (3, 0)), 4, Workers(1, 4.0), 2),
        (((2, 0),), 4, Workers(1, 4.0), 0),
        (((8, 2), (16, 4), (4, 0)), 4, Workers(1, 4.0, 1.0), 6),
        (((8, 2), (2, 2)), 4, Workers(1, 1.0, 1.0), 4),
    ],
)
def test_a_worker_is_a_gpu_with_its_share_or_so_many_threads(
    nodes: Any, threads: int, worker: Workers, places: int
) -> None:
    assert worker_shape(ClusterResources(nodes), threads) == worker
    assert slots(ClusterResources(nodes), worker) == places
    assert resources(worker) == ({"CPU": worker.cpus, "GPU": 1.0} if worker.gpus else {"CPU": worker.cpus})


@pytest.mark.parametrize(
    ("nodes", "places"),
    [(((8, 2), (16, 4), (4, 0)), 2), (((4, 0), (8, 8)), 8), ((), 1)],
    ids=["the smallest with GPUs", "the head has none", "no node yet"],
)
def test_a_single_worker_may_hold_what_any_node_has(nodes: Any, places: int) -> None:
    """So that a lost node leaves none that waits for one as large."""
    cluster = ClusterCapacity(lambda: ClusterResources(nodes), Workers(1, 1.0, 1.0))
    assert cluster.slots_per_node() == places


def test_a_cluster_that_grows_is_noticed() -> None:
    clock, nodes = [0.0], [ClusterResources(())]
    growing = ClusterCapacity(lambda: nodes[0], Workers(1, 1.0), largest=6, clock=lambda: clock[0])
    assert (growing.slots(), growing.headroom()) == (0, 6)
    nodes[0] = ClusterResources(((4, 0),))
    assert growing.slots() == 0, "not asked at every moment"
    clock[0] = 6.0
    assert (growing.slots(), growing.headroom()) == (4, 2)


def test_devices_are_called_by_a_word_that_their_full_names_hold() -> None:
    assert ClusterResources(((8, 0),)).devices == ("cpu",)
    assert ClusterResources(((8, 1), (8, 1)), ("A100-40G", "A10G")).devices == ("A100", "A10G")
