"""The schedule under random graphs, failures and orders of completion: nothing is lost, repeated, early or stuck."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.schedule.scheduler import Budgets, Scheduler, Task

OK, LOST = "ok", None
Outcome = str | None  # OK, LOST, or an error's class and message
Graph = dict[str, tuple[str, ...]]


@dataclass
class Run:
    """What a simulated run did."""

    schedule: Scheduler
    started: Counter[str] = field(default_factory=Counter)
    given_up: list[list[str]] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0
    clock: float = 0.0


def simulate(
    schedule: Scheduler,
    tasks: dict[str, Task],
    slots: int,
    outcome: Callable[[str, int], Outcome] = lambda key, attempt: OK,
    seconds: Callable[[str], float] | None = None,
    at_start: Callable[[Run, str], None] = lambda run, key: None,
) -> Run:
    """Run a schedule on so many slots: an event loop with a heap of ends."""
    run = Run(schedule)
    seconds = seconds or (lambda key: tasks[key].cost)
    ends: list[tuple[float, int, str, int]] = []
    while True:
        while len(ends) < slots and schedule.ready():
            urgent = schedule.ready()[0]
            started = schedule.start(slots - len(ends), slots)
            assert started is not None
            key, attempt, width = started
            assert width == 1
            assert key == urgent
            run.started[key] += 1
            assert attempt == run.started[key], "attempts count from 1"
            assert schedule.states[key] == "running"
            assert not schedule.finished
            at_start(run, key)
            heapq.heappush(ends, (run.clock + seconds(key), sum(run.started.values()), key, attempt))
            run.most_busy = max(run.most_busy, len(ends))
        if not ends:
            assert schedule.start(slots, slots) is None
            assert schedule.idle
            assert schedule.finished, f"stuck: {schedule.states}"
            return run
        run.clock, _, key, attempt = heapq.heappop(ends)
        result = outcome(key, attempt)
        if result == OK:
            schedule.done(key)
        elif gone := schedule.failed(key, result):
            run.given_up.append(gone)


@st.composite
def graphs(draw: st.DrawFn, most: int = 14) -> dict[str, Task]:
    """A random DAG. Its keys are shuffled, so that neither their order nor that of the tasks is the order to run in."""
    size = draw(st.integers(1, most))
    names = draw(st.permutations([f"k{i}" for i in range(size)]))
    tasks = []
    for i, name in enumerate(names):
        upstream = draw(st.lists(st.sampled_from(names[:i]), max_size=3, unique=True)) if i else []
        tasks.append(Task(name, tuple(upstream), draw(st.integers(0, 9))))
    return {task.key: task for task in draw(st.permutations(tasks))}


outcomes = st.lists(st.sampled_from([OK, OK, LOST, "A: x", "A: y", "B: x"]), max_size=6)
budgets = st.builds(Budgets, infrastructure=st.integers(0, 3), errors=st.integers(0, 3), identical_failures=st.just(0))


def upstream_first(tasks: dict[str, Task]) -> list[str]:
    order: list[str] = []
    while len(order) < len(tasks):
        order += [k for k, t in tasks.items() if k not in order and set(t.upstream) <= set(order)]
    return order


def chains(tasks: dict[str, Task]) -> dict[str, float]:
    """The longest chain of work from each stage on, itself included."""
    remaining: dict[str, float] = {}
    for key in reversed(upstream_first(tasks)):
        after = [remaining[down] for down, task in tasks.items() if key in task.upstream]
        remaining[key] = tasks[key].cost + max(after, default=0)
    return remaining


def fate(script: list[Outcome], allowed: Budgets) -> tuple[str, int]:
    """What becomes of a stage with these outcomes (then success), by the words of the rule; and in how many attempts."""
    lost, errors = 0, list[str]()
    for attempt, outcome in enumerate([*script, OK], 1):
        if outcome == OK:
            return "done", attempt
        if outcome is LOST:
            lost += 1
            if lost > allowed.infrastructure:
                return "failed", attempt
        elif outcome in errors or len(errors) >= allowed.errors:
            return "failed", attempt
        else:
            errors.append(outcome)
    raise AssertionError


@settings(max_examples=150)
@given(
    tasks=graphs(),
    scripts=st.lists(outcomes, min_size=14, max_size=14),
    allowed=budgets,
    slots=st.integers(1, 5),
    seed=st.integers(0, 2**16),
    done_before=st.sets(st.integers(0, 13)),
)
def test_any_graph_with_any_failures_in_any_order(
    tasks: dict[str, Task],
    scripts: list[list[Outcome]],
    allowed: Budgets,
    slots: int,
    seed: int,
    done_before: set[int],
) -> None:
    order = upstream_first(tasks)
    script = dict(zip(order, scripts, strict=False))
    before = {key for i, key in enumerate(order) if i in done_before}
    expected, attempts = dict.fromkeys(before, "done"), dict.fromkeys(before, 0)
    for key in order:
        if key not in before:
            waits = all(expected[up] == "done" for up in tasks[key].upstream)
            expected[key], attempts[key] = fate(script[key], allowed) if waits else ("blocked", 0)

    schedule = Scheduler(tasks.values(), before, allowed)
    remaining = chains(tasks)

    def at_start(run: Run, key: str) -> None:
        assert all(run.schedule.states[up] == "done" for up in tasks[key].upstream)
        assert all(remaining[other] <= remaining[key] for other in run.schedule.ready()), "the longest chain first"
        assert set(run.schedule.ready()) == {k for k, state in run.schedule.states.items() if state == "ready"}

    dice = random.Random(seed)
    run = simulate(
        schedule,
        tasks,
        slots,
        lambda key, attempt: [*script[key], OK][attempt - 1],
        lambda key: dice.random(),
        at_start,
    )
    assert schedule.states == expected
    assert {key: run.started[key] for key in tasks} == attempts
    assert run.most_busy <= slots
    failed = {key for key, state in expected.items() if state == "failed"}
    assert {gone[0] for gone in run.given_up} == failed
    given_up = [key for gone in run.given_up for key in gone]
    assert Counter(given_up) == Counter(key for key, state in expected.items() if state in ("failed", "blocked"))


@settings(max_examples=100)
@given(tasks=graphs(most=20), slots=st.integers(1, 6))
def test_never_past_grahams_bound(tasks: dict[str, Task], slots: int) -> None:
    run = simulate(Scheduler(tasks.values()), tasks, slots)
    assert set(run.schedule.states.values()) == {"done"}
    work, longest = sum(task.cost for task in tasks.values()), max(chains(tasks).values())
    lower_bound = max(work / slots, longest)
    assert lower_bound - 1e-9 <= run.clock <= (2 - 1 / slots) * lower_bound + 1e-9
    assert run.clock <= work / slots + (1 - 1 / slots) * longest + 1e-9


def star(chain: int, leaves: int) -> dict[str, Task]:
    """One long chain beside many short stages that all are ready at once."""
    tasks = [Task(f"c{i}", (f"c{i - 1}",) if i else (), 1.0) for i in range(chain)]
    return {task.key: task for task in [*(Task(f"l{i}", (), 1.0) for i in range(leaves)), *tasks]}


def test_a_long_chain_is_not_left_to_the_end() -> None:
    tasks = star(chain=10, leaves=30)
    assert simulate(Scheduler(tasks.values()), tasks, 4).clock == 10, "first come, first served takes 17"


def test_a_stage_starts_the_moment_its_own_upstream_is_done_not_all_of_a_phase() -> None:
    tasks = {t.key: t for t in (Task("p1", (), 1), Task("p2", (), 100), Task("f1", ("p1",), 1), Task("f2", ("p2",), 1))}
    schedule = Scheduler(tasks.values())
    assert schedule.start(2, 2) == ("p2", 1, 1)
    assert schedule.start(1, 2) == ("p1", 1, 1)
    assert schedule.start(1, 1) is None
    schedule.done("p1")
    assert schedule.states == {"p1": "done", "p2": "running", "f1": "ready", "f2": "waiting"}
    assert schedule.start(1, 2) == ("f1", 1, 1)


def diamond() -> list[Task]:
    return [Task("a", (), 1), Task("b", ("a",), 1), Task("c", ("a",), 5), Task("d", ("b", "c"), 1)]


def test_states_at_the_beginning() -> None:
    schedule = Scheduler(diamond())
    assert schedule.states == {"a": "ready", "b": "waiting", "c": "waiting", "d": "waiting"}
    assert schedule.ready() == ["a"]
    assert schedule.idle
    assert not schedule.finished


def test_nothing_to_do_is_finished() -> None:
    assert Scheduler([]).finished
    schedule = Scheduler(diamond(), done="abcd")
    assert schedule.finished
    assert schedule.start(1, 1) is None
    assert set(schedule.states.values()) == {"done"}


def test_keys_done_before_that_are_in_no_plan_do_not_matter() -> None:
    assert Scheduler(diamond(), done=["a", "of an earlier grid"]).ready() == ["c", "b"]


def test_the_same_error_twice_is_final_and_blocks_what_needs_it() -> None:
    schedule = Scheduler(diamond(), budgets=Budgets(errors=9))
    schedule.start(1, 1)
    assert schedule.failed("a", "ValueError: x") == []
    assert schedule.states["a"] == "ready"
    assert schedule.start(1, 1) == ("a", 2, 1)
    assert sorted(schedule.failed("a", "ValueError: x")) == ["a", "b", "c", "d"]
    assert schedule.states == {"a": "failed", "b": "blocked", "c": "blocked", "d": "blocked"}
    assert schedule.finished


def test_another_error_uses_up_the_small_budget() -> None:
    schedule = Scheduler([Task("a", (), 1)], budgets=Budgets(errors=2))
    for error, given_up in (("A", []), ("B", []), ("C", ["a"])):
        schedule.start(1, 1)
        assert schedule.failed("a", error) == given_up


def test_lost_processes_have_a_budget_of_their_own() -> None:
    schedule = Scheduler([Task("a", (), 1)], budgets=Budgets(infrastructure=2, errors=1))
    for error, given_up in ((None, []), ("A", []), (None, []), (None, ["a"])):
        schedule.start(1, 1)
        assert schedule.failed("a", error) == given_up


def test_a_stage_that_gets_further_each_time_is_lost_as_often_as_it_may_be() -> None:
    """As a long one on spot nodes. Where it gets no further than before, for want of memory say, the budget ends it."""
    schedule = Scheduler([Task("a", (), 1)], budgets=Budgets(infrastructure=2))
    for epoch in range(1, 10):
        schedule.start(1, 1)
        schedule.progressed("a", epoch / 10)
        assert schedule.failed("a", None) == []
    for share, given_up in ((0.4, []), (0.901, ["a"])):
        schedule.start(1, 1)
        schedule.progressed("a", share)
        assert schedule.failed("a", None) == given_up


def test_small_gains_add_up() -> None:
    schedule = Scheduler([Task("a", (), 1)], budgets=Budgets(infrastructure=2))
    for part in range(1, 100):
        schedule.start(1, 1)
        schedule.progressed("a", part * 0.006)
        assert schedule.failed("a", None) == []


def test_what_a_stage_gains_forgives_none_of_its_own_errors() -> None:
    schedule = Scheduler([Task("a", (), 1)], budgets=Budgets(errors=1))
    for share, given_up in ((0.1, []), (0.2, ["a"])):
        schedule.start(1, 1)
        schedule.progressed("a", share)
        assert schedule.failed("a", f"E: {share}") == given_up


def test_by_default_lost_processes_are_forgiven_more_often_than_errors() -> None:
    assert Budgets().infrastructure > Budgets().errors >= 1


def test_a_stage_that_another_failure_blocks_is_blocked_once() -> None:
    schedule = Scheduler(diamond(), done="a", budgets=Budgets(errors=0))
    schedule.start(1, 1)
    schedule.start(1, 1)
    assert schedule.failed("c", "E") == ["c", "d"]
    assert schedule.failed("b", "E") == ["b"]
    assert schedule.states["d"] == "blocked"


def test_a_failure_stops_nothing_that_does_not_need_it() -> None:
    schedule = Scheduler([*diamond(), Task("alone", (), 1)], budgets=Budgets(errors=0))
    schedule.start(1, 1)
    schedule.failed("a", "E")
    assert schedule.ready() == ["alone"]
    assert not schedule.finished


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"a": ("b",), "b": ("a",)}, "cycle: "),
        ({"a": ("a",)}, "cycle: "),
        ({"a": (), "b": ("a", "d"), "c": ("b",), "d": ("c",)}, "cycle: "),
        ({"a": ("nowhere",), "b": ("neither", "a")}, "neither, nowhere"),
    ],
)
def test_a_cycle_or_an_unknown_upstream_is_refused(graph: Graph, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scheduler([Task(key, upstream, 1) for key, upstream in graph.items()])


def test_the_order_does_not_depend_on_chance() -> None:
    def order() -> list[str]:
        tasks = {f"k{i}": Task(f"k{i}", (), 1.0) for i in range(50)}
        schedule = Scheduler(tasks.values())
        return [started[0] for _ in range(50) if (started := schedule.start(1, 1))]

    assert order() == order() == [f"k{i}" for i in range(50)]


def test_a_chain_may_be_long() -> None:
    tasks = {f"k{i}": Task(f"k{i}", (f"k{i - 1}",) if i else (), 1.0) for i in range(3000)}
    assert simulate(Scheduler(tasks.values()), tasks, 2).clock == 3000
    schedule = Scheduler(tasks.values(), budgets=Budgets(errors=0))
    schedule.start(1, 1)
    assert len(schedule.failed("k0", "E")) == 3000
