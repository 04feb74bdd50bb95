"""The schedule on simulated time with injected faults: stages of any width, lost, failing, drained; drivers killed."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.schedule.scheduler import Budgets, Scheduler, Task

PATIENT = Budgets(infrastructure=50, errors=50, identical_failures=0)


@st.composite
def wide_graphs(draw: st.DrawFn, slots: int, most: int = 16) -> list[Task]:
    """A random DAG of stages that need 1 to ``slots`` slots, and may be given more."""
    tasks: list[Task] = []
    for i in range(draw(st.integers(1, most))):
        upstream = draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else []
        min_workers = draw(st.one_of(st.just(1), st.integers(1, slots)))
        max_workers = draw(st.integers(min_workers, 2 * slots))
        tasks.append(
            Task(f"k{i}", tuple(f"k{up}" for up in upstream), draw(st.integers(0, 9)), max_workers, min_workers)
        )
    return tasks


@dataclass
class World:
    """A cluster and a study folder: what is committed there survives the drivers."""

    tasks: dict[str, Task]
    slots: int
    dice: random.Random
    committed: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    clock: float = 0.0

    def drive(self, schedule: Scheduler, killed_after: int) -> bool:
        """Run a driver until it is finished, or killed after so many events; say whether it finished."""
        ends: list[tuple[float, str, int]] = []
        for _ in range(killed_after):
            used = sum(width for *_, width in ends)
            while (start := schedule.start(self.slots - used, self.slots)) is not None:
                self._may_start(start.key, start.num_workers, self.slots - used)
                used += start.num_workers
                heapq.heappush(ends, (self.clock + self.dice.random(), start.key, start.num_workers))
            if not ends:
                assert schedule.finished, f"stuck: {schedule.states}"
                return True
            self.clock, key, _ = heapq.heappop(ends)
            self._event(schedule, key)
        return False

    def _may_start(self, key: str, width: int, free: int) -> None:
        task = self.tasks[key]
        assert key not in self.committed, "done twice"
        assert set(task.upstream) <= self.committed, "before its inputs"
        assert task.min_workers <= width <= min(free, max(task.max_workers, task.min_workers)), "over capacity"
        assert width % task.min_workers == 0
        assert (width // task.min_workers).bit_count() == 1, "least width times a power of two"
        self.attempts[key] += 1

    def _event(self, schedule: Scheduler, key: str) -> None:
        schedule.progressed(key, self.dice.random())
        fate = self.dice.choice(["done", "done", "done", "lost", "error", "drained"])
        self.ended[key] += fate != "done"
        if fate == "done":
            self.committed.add(key)
            schedule.done(key)
        elif fate == "drained":
            schedule.preempted(key)
        else:
            again = schedule.failed(key, None if fate == "lost" else f"E: {self.dice.random()}")
            assert not again, "these budgets forgive all of it"


@settings(max_examples=1000)
@given(data=st.data(), slots=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_nothing_is_lost_or_done_twice_and_nothing_gets_stuck(data: st.DataObject, slots: int, seed: int) -> None:
    """Drivers are killed at random moments; the next begins with what is committed, as the real one does."""
    tasks = data.draw(wide_graphs(slots))
    distributed = World({task.key: task for task in tasks}, slots, random.Random(seed))
    for killed_after in [*data.draw(st.lists(st.integers(0, 12), max_size=4)), 10_000]:
        under_way = {
            key for key in distributed.attempts if distributed.attempts[key] > distributed.ended[key]
        } - distributed.committed
        distributed.ended.update(under_way)  # what ran under the driver that was killed
        if distributed.drive(Scheduler(tasks, distributed.committed, PATIENT), killed_after):
            break
    assert distributed.committed == {task.key for task in tasks}, "nothing is lost"
    assert all(distributed.attempts[key] == distributed.ended[key] + 1 for key in distributed.committed), (
        "only lost attempts are repeated"
    )


@settings(max_examples=300)
@given(data=st.data(), slots=st.integers(1, 8), identical_failures=st.integers(0, 3), fail_fast=st.booleans())
def test_a_run_in_which_stages_fail_for_good_ends_as_well(
    data: st.DataObject, slots: int, identical_failures: int, fail_fast: bool
) -> None:
    tasks = data.draw(wide_graphs(slots))
    budgets = Budgets(infrastructure=1, errors=1, identical_failures=identical_failures)
    schedule = Scheduler(tasks, budgets=budgets, fail_fast=fail_fast)
    dice = random.Random(data.draw(st.integers(0, 2**32)))
    running: dict[str, int] = {}
    while not schedule.finished:
        while (start := schedule.start(slots - sum(running.values()), slots)) is not None:
            assert not schedule.halted
            running[start.key] = start.num_workers
        assert running, "stuck"
        key = dice.choice(sorted(running))
        del running[key]
        if dice.random() < 0.5:
            schedule.done(key)
        else:
            schedule.failed(key, dice.choice(["A: x", "B: y", None]))
    states = schedule.states
    for task in tasks:
        ups = {states[up] for up in task.upstream}
        assert (states[task.key] == "blocked") == bool(ups & {"failed", "blocked"})
        assert states[task.key] in ("done", "failed", "blocked") or schedule.halted
    if fail_fast:
        assert bool(schedule.halted) == ("failed" in states.values())


def test_two_stages_wider_than_the_rest_of_the_cluster_take_turns() -> None:
    schedule = Scheduler([Task("a", (), 1, 1, 1), Task("b", (), 5, 1, 1)])
    assert schedule.start(1, 1) == ("b", 1, 1)
    assert schedule.start(0, 1) is None
    schedule.done("b")
    assert schedule.start(1, 1) == ("a", 1, 1)
    wide = Scheduler([Task("a", (), 1, 3, 3), Task("b", (), 1, 3, 3)])
    assert wide.start(4, 4) == ("a", 1, 3)
    assert wide.start(1, 4) is None
    wide.done("a")
    assert wide.start(4, 4) == ("b", 1, 3)
    wide.done("b")
    assert wide.finished


def test_a_wide_stage_is_overtaken_so_often_and_no_more() -> None:
    """Narrow ones go past while it does not fit; but not for ever."""
    narrow = [Task(f"n{i:02}", (), 1) for i in range(40)]
    schedule = Scheduler([Task("wide", (), 9, 4, 4), *narrow, Task("first", (), 50)])
    assert schedule.start(4, 4) == ("first", 1, 1)
    running, past = ["first"], 0
    for _ in range(200):
        start = schedule.start(4 - len(running), 4)
        if start is None:
            schedule.done(running.pop())
        elif start.key == "wide":
            break
        else:
            running.append(start.key)
            past += 1
    assert schedule.states["wide"] == "running"
    assert 0 < past <= 4, "as many as there are slots"


def test_a_stage_wider_than_the_cluster_has_become_waits_and_the_others_go_on() -> None:
    schedule = Scheduler([Task("wide", (), 9, 4, 4), Task("a", (), 1), Task("b", (), 1)])
    for key in "ab":
        assert schedule.start(1, 2) == (key, 1, 1)
    for key in "ab":
        schedule.done(key)
    assert schedule.start(2, 2) is None
    assert not schedule.finished
    assert schedule.ready() == ["wide"]
    assert schedule.start(4, 4) == ("wide", 1, 4)


@pytest.mark.parametrize("many", [0, 7])
def test_a_stage_that_is_given_back_counts_as_no_failure(many: int) -> None:
    schedule = Scheduler([Task("a", (), 10)], budgets=Budgets(infrastructure=0, errors=0))
    for attempt in range(1, many + 1):
        assert schedule.start(1, 1) == ("a", attempt, 1)
        schedule.preempted("a")
        assert schedule.states["a"] == "ready"
    assert schedule.start(1, 1) == ("a", many + 1, 1)
    schedule.done("a")
    assert schedule.finished
