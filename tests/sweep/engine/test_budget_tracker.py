"""Time and money: what a run has used of its limits."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweep.engine.budget_tracker import STOPPING_SECONDS, BudgetTracker
from sweep.engine.capacity import ClusterCapacity, worker_shape
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.schedule.budget import anything


class Slots:
    """Two stages run, on three slots."""

    def __init__(self) -> None:
        self.dispatched = self.running = {"a": 1, "b": 2}
        self.held = {"a": 1, "b": 2}
        self.busy = 3
        self.seconds = 0.0

    def worker_seconds(self) -> float:
        return self.seconds


class Busy:
    """What the tracker asks of a driver: two stages run, one of them half done."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.large: set[str] = set()

    def slots_per_worker(self, key: str, workers: int, slots_per_node: int) -> int:
        return min(2, slots_per_node) if key in self.large else 1

    def share(self, key: str) -> float:
        return {"a": 0.5}.get(key, 0.0)


def tracker(limits: RunLimits, clock: list[float]) -> Any:
    found = ClusterResources(((8, 2),))
    cluster = ClusterCapacity(lambda: found, worker_shape(found, 4), clock=lambda: clock[0])
    driver: Any = Busy()
    return BudgetTracker(cluster, driver, limits, lambda key: 3600.0)


def test_without_limits_all_is_admitted() -> None:
    assert tracker(RunLimits(), [0.0]).admits() is anything
    assert tracker(RunLimits(), [1e9]).exceeded() is None


def test_a_stage_that_would_end_after_the_deadline_is_not_admitted() -> None:
    clock = [100.0]
    limited = tracker(RunLimits(deadline=2 * 3600.0), clock)
    assert limited.admits()("c", 1) is None
    clock[0] += 1.5 * 3600
    assert "until the deadline" in str(limited.admits()("c", 1))
    assert limited.admits()("c", 4) is None, "wider, it ends in time"
    assert limited.exceeded() is None
    clock[0] = 2 * 3600.0 - STOPPING_SECONDS - 1
    assert limited.exceeded() is None
    clock[0] += 2
    assert "deadline" in str(limited.exceeded()), "before it is passed: to stop takes time"


def test_a_short_deadline_leaves_time_to_work() -> None:
    clock = [0.0]
    limited = tracker(RunLimits(deadline=40.0), clock)
    for at, is_over in ((0.0, False), (29.0, False), (31.0, True)):
        clock[0] = at
        assert (limited.exceeded() is not None) == is_over


def test_a_deadline_counts_from_the_beginning_of_the_command() -> None:
    clock = [1000.0]
    limited = tracker(RunLimits(deadline=3600.0), clock)
    limited.begun = 900.0
    assert limited.exceeded() is None
    clock[0] = 4490.0
    assert "deadline" in str(limited.exceeded())


def test_money_counts_what_was_spent_and_what_runs() -> None:
    limited = tracker(RunLimits(max_cost=6.0, price=2.0), [0.0])
    driver: Any = limited.driver
    driver.slots.seconds = 1800.0
    assert limited.spent() == pytest.approx(2.0 * 0.5)
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 0.5 + 1.0))
    assert limited.admits()("c", 1) is None
    driver.slots.seconds = 3600.0
    assert "would cost 2.00, 1.00 are left" in str(limited.admits()("c", 1))
    driver.slots.seconds = 3 * 3600.0 - 3 * STOPPING_SECONDS - 1
    assert limited.exceeded() is None
    driver.slots.seconds += 2
    assert "5.97 of 6.00 are spent" in str(limited.exceeded()), "before it is passed: to stop costs as well"
    assert not math.isfinite(RunLimits().max_cost)


def test_what_a_stage_holds_for_its_memory_is_paid_for() -> None:
    limited = tracker(RunLimits(max_cost=7.0, price=2.0), [0.0])
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 1.0))
    assert limited.admits()("c", 1) is None
    limited.driver.large = {"c"}
    assert limited.admits()("c", 1) is None
    limited.driver.large = {"a", "c"}
    assert limited.committed() == pytest.approx(2.0 * (0.5 + 1.0)), "what runs holds what it was given"
    limited.driver.slots.held["a"] = 2
    assert limited.committed() == pytest.approx(2.0 * (2 * 0.5 + 1.0))
    assert "would cost 4.00, 3.00 are left" in str(limited.admits()("c", 1))


def test_a_second_pass_of_a_run_goes_on_with_its_bill() -> None:
    limited = tracker(RunLimits(max_cost=6.0, price=2.0), [0.0])
    limited.before = 3600.0
    assert limited.spent() == pytest.approx(2.0)
