"""Tests of the room of a cluster and the limits of a run."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweep.engine.capacity import STOPPING_SECONDS, ClusterCapacity, resources, slots, worker_shape
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.schedule.budget import anything
from trainables.runtime import Workers


class Busy:
    """What the room asks of a driver: two stages run, one of them half done."""

    def __init__(self) -> None:
        self.widths = self.at_work = {"a": 1, "b": 2}
        self.held = {"a": 1, "b": 2}
        self.busy = 3
        self.seconds = 0.0
        self.crowded: set[str] = set()

    def places(self, key: str, width: int, node: int) -> int:
        return min(2, node) if key in self.crowded else 1

    def share(self, key: str) -> float:
        return {"a": 0.5}.get(key, 0.0)

    def worker_seconds(self) -> float:
        return self.seconds


def room(asked: RunLimits, clock: list[float], nodes: Any = ((8, 2),)) -> ClusterCapacity:
    capacity = ClusterResources(nodes)
    worker = worker_shape(capacity, 4)
    return ClusterCapacity(lambda: capacity, worker, Busy(), asked, lambda key: 3600.0, lambda: clock[0])  # type: ignore[arg-type]


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
    made = ClusterCapacity(lambda: ClusterResources(nodes), Workers(1, 1.0, 1.0), Busy(), RunLimits(), lambda key: None)  # type: ignore[arg-type]
    assert made.node() == places


def test_without_limits_all_is_admitted() -> None:
    assert room(RunLimits(), [0.0]).admits() is anything
    assert room(RunLimits(), [1e9]).over() is None


def test_a_cluster_that_grows_is_noticed() -> None:
    clock, nodes = [0.0], [ClusterResources(())]
    busy: Any = Busy()
    growing = ClusterCapacity(lambda: nodes[0], Workers(1, 1.0), busy, RunLimits(), lambda key: None, lambda: clock[0])
    assert growing.slots() == 0
    nodes[0] = ClusterResources(((4, 0),))
    assert growing.slots() == 0, "not asked at every moment"
    clock[0] = 6.0
    assert growing.slots() == 4


def test_a_stage_that_would_end_after_the_deadline_is_not_admitted() -> None:
    clock = [100.0]
    limited = room(RunLimits(deadline=2 * 3600.0), clock)
    assert limited.admits()("c", 1) is None
    clock[0] += 1.5 * 3600
    assert "until the deadline" in str(limited.admits()("c", 1))
    assert limited.admits()("c", 4) is None, "wider, it ends in time"
    assert limited.over() is None
    clock[0] = 2 * 3600.0 - STOPPING_SECONDS - 1
    assert limited.over() is None
    clock[0] += 2
    assert "deadline" in str(limited.over()), "before it is passed: to stop takes time"


def test_a_short_deadline_leaves_time_to_work() -> None:
    clock = [0.0]
    limited = room(RunLimits(deadline=40.0), clock)
    for at, is_over in ((0.0, False), (29.0, False), (31.0, True)):
        clock[0] = at
        assert (limited.over() is not None) == is_over


def test_a_deadline_counts_from_the_beginning_of_the_command() -> None:
    clock = [1000.0]
    limited = room(RunLimits(deadline=3600.0), clock)
    limited.begun = 900.0
    assert limited.over() is None
    clock[0] = 4490.0
    assert "deadline" in str(limited.over())


def test_money_counts_what_was_spent_and_what_runs() -> None:
    limited = room(RunLimits(max_cost=6.0, price=2.0), [0.0])
    driver = limited.driver
    driver.seconds = 1800.0  # type: ignore[attr-defined]
    assert limited.spent() == pytest.approx(2.0 * 0.5)
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 0.5 + 1.0))
    assert limited.admits()("c", 1) is None
    driver.seconds = 3600.0  # type: ignore[attr-defined]
    assert "would cost 2.00, 1.00 are left" in str(limited.admits()("c", 1))
    driver.seconds = 3 * 3600.0 - 3 * STOPPING_SECONDS - 1  # type: ignore[attr-defined]
    assert limited.over() is None
    driver.seconds += 2  # type: ignore[attr-defined]
    assert "5.97 of 6.00 are spent" in str(limited.over()), "before it is passed: to stop costs as well"
    assert not math.isfinite(RunLimits().max_cost)


def test_what_a_stage_holds_for_its_memory_is_paid_for() -> None:
    limited = room(RunLimits(max_cost=7.0, price=2.0), [0.0])
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 1.0))
    assert limited.admits()("c", 1) is None
    limited.driver.crowded = {"c"}  # type: ignore[method-assign, assignment]
    assert limited.admits()("c", 1) is None
    limited.driver.crowded = {"a", "c"}  # type: ignore[method-assign, assignment]
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 1.0)), "what runs holds what it was given"
    limited.driver.held["a"] = 2  # type: ignore[index]
    assert limited.committed() == pytest.approx(2.0 * (2 * 0.5 + 1.0))
    assert "would cost 4.00, 3.00 are left" in str(limited.admits()("c", 1))


def test_a_second_pass_of_a_run_goes_on_with_its_bill() -> None:
    limited = room(RunLimits(max_cost=6.0, price=2.0), [0.0])
    limited.before = 3600.0
    assert limited.spent() == pytest.approx(2.0)


def test_devices_are_called_by_a_word_that_their_full_names_hold() -> None:
    assert ClusterResources(((8, 0),)).devices == ("cpu",)
    assert ClusterResources(((8, 1), (8, 1)), ("A100-40G", "A10G")).devices == ("A100", "A10G")
