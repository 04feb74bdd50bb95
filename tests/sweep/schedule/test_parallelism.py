"""How wide stages start, what is not admitted, and when a whole run is given up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweep.schedule.budget import Budget
from sweep.schedule.parallelism import fewest_in_time, largest_doubling, max_workers, speedup, unplaceable
from sweep.schedule.retry_policy import Attempts, Budgets
from sweep.schedule.scheduler import Scheduler, Task
from trainables.specs import Recipe


def test_one_worker_is_as_fast_as_one_and_more_bring_less_each() -> None:
    assert speedup(1) == 1.0
    assert [round(speedup(w), 2) for w in (2, 4, 8)] == [1.93, 3.73, 7.21]


def test_widths_are_the_least_one_times_a_power_of_two() -> None:
    assert [largest_doubling(1, most) for most in (1, 2, 3, 4, 7, 8, 255, 256)] == [1, 2, 2, 4, 4, 8, 128, 256]
    assert largest_doubling(3, 13) == 12
    assert largest_doubling(3, 2) == 3
    assert largest_doubling(1, 0) == 1


def test_a_chain_is_given_the_smallest_width_with_which_it_is_in_time() -> None:
    assert fewest_in_time(chain=10, time=10, least=1, most=8) == 1
    assert fewest_in_time(chain=10.01, time=10, least=1, most=8) == 2
    assert fewest_in_time(chain=36, time=10, least=1, most=8) == 4
    assert fewest_in_time(chain=1e9, time=10, least=1, most=8) == 8
    assert fewest_in_time(chain=1e9, time=10, least=3, most=8) == 6


def test_every_worker_gets_a_few_images_of_a_batch() -> None:
    assert max_workers(Recipe(batch_size=32)) == 8
    assert max_workers(Recipe(batch_size=32), slots=5) == 4
    assert max_workers(Recipe(batch_size=3)) == 1
    assert max_workers(Recipe(batch_size=4096), slots=256) == 256


def test_what_no_cluster_of_that_size_can_ever_run_is_named() -> None:
    tasks = [Task("a", (), 1, 8, 8), Task("b", (), 1, 64, 1), Task("c", (), 1, 9, 9)]
    assert unplaceable(tasks, 8) == ["c"]
    assert unplaceable(tasks, 4) == ["a", "c"]


def test_pre_training_that_all_waits_for_is_wide_and_cells_in_plenty_are_narrow() -> None:
    tasks = [Task("pre", (), 10, 8), *(Task(f"after{i}", ("pre",), 10, 8) for i in range(3))]
    tasks += [Task(f"cell{i}", (), 2, 8) for i in range(30)]
    schedule = Scheduler(tasks)
    first = schedule.start(8, 8)
    assert first is not None
    assert (first.key, first.num_workers) == ("pre", 2), "20 of chain, 100 / 8 left: twice as fast is enough"
    rest = []
    free = 8 - first.num_workers
    while (start := schedule.start(free, 8)) is not None:
        rest.append(start)
        free -= start.num_workers
    assert [start.num_workers for start in rest] == [1] * 6


@pytest.mark.parametrize(
    ("ready", "widths"), [(1, [8]), (2, [8, 8]), (3, [4, 4, 8]), (5, [2, 2, 4, 4, 4]), (16, [1] * 16)]
)
def test_fewer_ready_stages_than_slots_share_them(ready: int, widths: list[int]) -> None:
    schedule = Scheduler([Task(f"k{i}", (), 0.0, 8) for i in range(ready)])
    found, free = [], 16
    while (start := schedule.start(free, 16)) is not None:
        found.append(start.num_workers)
        free -= start.num_workers
    assert found == widths


def test_a_stage_that_would_end_after_all_else_waits_for_more_slots_and_shorter_ones_go_past() -> None:
    schedule = Scheduler([Task("run", (), 10), Task("long", (), 10, 2), Task("short", (), 1, 2)])
    assert schedule.start(1, 2) == ("run", 1, 1)
    schedule.progressed("run", 0.9)
    assert schedule.start(1, 2) == ("short", 1, 1), "12 left on 2 slots: 6 at most, and long takes 10 on one"
    schedule.done("run")
    schedule.done("short")
    assert schedule.start(2, 2) == ("long", 1, 2)


def test_what_was_done_before_a_stage_was_given_back_is_not_work_to_do() -> None:
    schedule = Scheduler([Task("a", (), 10), Task("b", (), 6)])
    assert schedule.start(1, 1) == ("a", 1, 1)
    schedule.progressed("a", 0.8)
    schedule.preempted("a")
    assert schedule.ready() == ["b", "a"]


def limits(**fields: Any) -> Budget:
    return Budget(lambda key, width: 100 / speedup(width), **fields)


def test_nothing_starts_that_would_end_after_the_deadline() -> None:
    schedule = Scheduler([Task("a", (), 100), Task("b", ("a",), 100)])
    admits = limits(deadline=150).at(now=0, spent=0)
    assert schedule.start(1, 1, admits) == ("a", 1, 1)
    schedule.done("a")
    assert schedule.start(1, 1, limits(deadline=150).at(now=100, spent=0)) is None
    assert schedule.states == {"a": "done", "b": "stopped"}
    assert schedule.stopped_by["b"] == "would take 100 s, 50 s are left until the deadline"
    assert schedule.finished


def test_what_waits_for_a_stage_that_is_not_admitted_is_stopped_too() -> None:
    schedule = Scheduler([Task("a", (), 100), Task("b", ("a",), 1), Task("c", (), 1)])

    def admits(key: str, width: int) -> str | None:
        return "too long" if key == "a" else None

    assert schedule.start(1, 1, admits) == ("c", 1, 1), "the others go on"
    schedule.done("c")
    assert schedule.states == {"a": "stopped", "b": "stopped", "c": "done"}
    assert schedule.finished


def test_a_stage_is_widened_where_that_keeps_the_deadline() -> None:
    schedule = Scheduler([Task("a", (), 100, 4), *(Task(f"f{i}", (), 100) for i in range(20))])
    admits = limits(deadline=60).at(now=0, spent=0)
    started = schedule.start(4, 4, admits)
    assert started is not None
    assert (started.key, started.num_workers) == ("a", 2)


def test_a_stage_is_narrowed_where_that_keeps_the_money() -> None:
    schedule = Scheduler([Task("a", (), 100, 4)])
    assert schedule.start(4, 4, limits(max_cost=100, price=1).at(0, 0)) == ("a", 1, 1)
    dear = Scheduler([Task("a", (), 100, 4)])
    assert dear.start(4, 4, limits(max_cost=100, price=1).at(0, spent=0.5)) is None
    assert dear.stopped_by["a"].startswith("would cost 107.18, 99.50 are left of 100.00")


def test_a_stage_that_can_keep_the_deadline_only_on_more_slots_waits_for_them() -> None:
    schedule = Scheduler([Task("x", (), 500), Task("a", (), 100, 4)])
    assert schedule.start(1, 4) == ("x", 1, 1)
    admits = limits(deadline=30).at(0, 0)
    assert schedule.start(2, 4, admits) is None
    assert schedule.states["a"] == "ready"
    assert schedule.start(4, 4, admits) == ("a", 1, 4)


def test_without_limits_all_is_admitted() -> None:
    assert limits().at(now=1e12, spent=1e12)("a", 1) is None
    assert math.isinf(limits().deadline)


def fail_for_good(schedule: Scheduler, error: str) -> None:
    for _ in range(2):
        start = schedule.start(1, 1)
        assert start is not None
        schedule.failed(start.key, error)


def test_a_run_whose_first_stages_fail_alike_is_given_up() -> None:
    schedule = Scheduler([Task(f"k{i}", (), 1) for i in range(9)])
    for i in range(3):
        assert schedule.halted is None
        fail_for_good(schedule, f"OSError: no file stages/finetune-{i}-0123456789abcde{i}/x at line {10 * i}")
    assert str(schedule.halted).startswith("the first 3 stages failed with the same error: OSError: no file")
    assert schedule.start(1, 1) is None
    assert schedule.finished
    assert list(schedule.states.values()).count("ready") == 6, "they are not at fault"


@pytest.mark.parametrize("case", ["one is done", "another error"])
def test_a_run_with_some_hope_goes_on(case: str) -> None:
    schedule = Scheduler([Task(f"k{i}", (), 1) for i in range(9)])
    fail_for_good(schedule, "A: x")
    if case == "one is done":
        start = schedule.start(1, 1)
        assert start is not None
        schedule.done(start.key)
    else:
        fail_for_good(schedule, "B: x")
    for _ in range(3):
        fail_for_good(schedule, "A: x")
    assert schedule.halted is None
    assert schedule.start(1, 1) is not None


def test_lost_processes_alone_can_make_a_run_hopeless_too() -> None:
    attempts = Attempts(Budgets(infrastructure=0))
    assert [attempts.retry(key, None) for key in "abc"] == [False] * 3
    assert attempts.common_failure == "the first 3 stages failed with the same error: its process or node was lost"


def test_fail_fast_starts_nothing_more_and_lets_the_running_end() -> None:
    schedule = Scheduler([Task(f"k{i}", (), 1) for i in range(4)], budgets=Budgets(errors=0), fail_fast=True)
    schedule.start(2, 2)
    schedule.start(1, 2)
    schedule.failed("k0", "E: x")
    assert schedule.halted == "a stage failed: E: x"
    assert schedule.start(1, 2) is None
    assert not schedule.finished, "k1 still runs"
    schedule.done("k1")
    assert schedule.finished
