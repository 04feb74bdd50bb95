"""Simulated time: makespans against their lower bounds, and against other ways of running."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.cost.eta import remaining_run
from sweep.schedule.graph import Graph, Task
from sweep.schedule.parallelism import speedup
from sweep.schedule.scheduler import State
from sweep.schedule.simulator import lower_bound, simulate, with_barriers, with_fewest_workers
from sweep.simulate import MakespanRow, compare, grid_tasks, main


@pytest.fixture(scope="module")
def full_study() -> list[Task]:
    """16 pre-trainings and 360 cells, of the work that published sizes and FLOPs give; its data are not needed."""
    return grid_tasks("full_study", [], "a100")


@pytest.mark.parametrize(("gpus", "most"), [(1, 1.05), (4, 1.05), (16, 1.05), (32, 1.05), (64, 1.10), (256, 1.10)])
def test_the_full_study_comes_near_its_lower_bound(full_study: list[Task], gpus: int, most: float) -> None:
    row = compare(full_study, gpus)
    assert 1 - 1e-9 <= row.over(row.run.makespan) <= most
    assert row.run.makespan <= min(row.narrow, row.first_come, row.barriers) + 1e-6
    assert row.run.busy > 0.95
    assert sorted(span.key for span in row.run.spans) == sorted(task.key for task in full_study)


def test_it_stays_good_where_the_estimates_are_wrong(full_study: list[Task]) -> None:
    """Architectures are up to 1.6 times slower or faster than expected: still better than one GPU each."""
    for seed in range(5):
        dice = random.Random(seed)
        off = {name: dice.uniform(0.6, 1.6) for name in ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")}
        actual = {task.key: task.cost * off[task.key.split("-")[0]] for task in full_study}
        narrow = simulate(with_fewest_workers(full_study), 64, actual=actual).makespan
        bound = lower_bound([Task(t.key, t.upstream, actual[t.key], t.max_workers) for t in full_study], 64)
        assert simulate(full_study, 64, actual=actual).makespan <= min(narrow, 1.10 * bound)


def check(row: MakespanRow, tasks: dict[str, Task]) -> None:
    ends = {span.key: span.end for span in row.run.spans}
    assert set(ends) == set(tasks)
    for span in row.run.spans:
        assert span.begin >= max((ends[up] for up in tasks[span.key].upstream), default=0.0) - 1e-9
        assert span.end - span.begin == pytest.approx(tasks[span.key].cost / speedup(span.num_workers))
    for moment in (span.begin for span in row.run.spans):
        assert sum(s.num_workers for s in row.run.spans if s.begin <= moment < s.end) <= row.slots


@settings(max_examples=300)
@given(data=st.data(), slots=st.integers(1, 12))
def test_any_graph_of_any_widths_is_run_once_in_order_and_within_capacity(data: st.DataObject, slots: int) -> None:
    tasks = []
    for i in range(data.draw(st.integers(1, 20))):
        ups = data.draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else []
        cost, max_workers = data.draw(st.floats(0.1, 10)), data.draw(st.integers(1, 16))
        tasks.append(Task(f"k{i}", tuple(f"k{up}" for up in ups), cost, max_workers))
    row = compare(tasks, slots)
    check(row, {task.key: task for task in tasks})
    assert row.run.makespan >= row.bound - 1e-9
    graham = (2 - 1 / slots) * lower_bound(with_fewest_workers(tasks), slots) + 1e-9
    assert max(row.narrow, row.first_come) <= graham


def test_a_hundred_thousand_stages_take_seconds() -> None:
    """Processor seconds, with room for a slow machine; quadratic scans would take hours."""
    tasks = [Task(f"p{i}", (), 2.0, 8) for i in range(4_000)]
    tasks += [Task(f"f{i}", (f"p{i % 4_000}",), 1.0 + i % 4, 8) for i in range(96_000)]
    began = time.process_time()
    run = simulate(tasks, 64)
    assert time.process_time() - began < 60
    assert len(run.spans) == 100_000


def test_barriers_hold_a_phase_back_until_the_one_before_is_done() -> None:
    tasks = [Task("p1", (), 1), Task("p2", (), 9), Task("f1", ("p1",), 5), Task("alone", (), 1)]
    run = simulate(with_barriers(tasks), 2)
    begins = {span.key: span.begin for span in run.spans}
    assert begins["f1"] == 9
    assert simulate(tasks, 2).makespan == 9


def test_the_bound_is_the_work_or_the_longest_chain_at_its_widest() -> None:
    assert lower_bound([Task(f"k{i}", (), 1.0) for i in range(10)], 4) == 2.5
    chain = [Task("a", (), 4.0, 2), Task("b", ("a",), 4.0, 2)]
    assert lower_bound(chain, 8) == pytest.approx(8 / speedup(2))
    assert lower_bound([], 4) == 0.0


def test_a_run_knows_how_busy_it_was() -> None:
    run = simulate([Task("a", (), 4), Task("b", (), 2)], 2)
    assert (run.makespan, run.slot_time, run.busy) == (4, 6, 0.75)
    nothing = simulate([], 2)
    assert (nothing.makespan, nothing.busy) == (0.0, 1.0)


def test_a_stage_that_can_never_fit_is_said() -> None:
    with pytest.raises(ValueError, match="1 stages need more than 2 slots"):
        simulate([Task("a", (), 1, 4, 4), Task("b", (), 1)], 2)


def test_the_longest_chain_is_named_from_its_beginning() -> None:
    tasks = [Task("a", (), 1), Task("b", ("a",), 5), Task("c", ("a",), 2), Task("d", ("b", "c"), 1), Task("e", (), 6)]
    assert Graph(tasks).longest_chain() == (7, ["a", "b", "d"])
    assert Graph([]).longest_chain() == (0.0, [])
    assert Graph(tasks).depths() == {"a": 0, "b": 1, "c": 1, "d": 2, "e": 0}


STATES: dict[str, State] = {"d": "done", "r": "running", "w": "waiting", "f": "failed", "b": "blocked"}
TASKS = [Task("d", (), 1), Task("r", ("d",), 1), Task("w", ("r",), 1), Task("f", ("d",), 1), Task("b", ("f",), 1)]


def left(shares: dict[str, float], slots: int, at_work: dict[str, int], **states: State) -> float:
    run = remaining_run(TASKS, STATES | states, lambda key: shares.get(key, 0.0), slots, lambda key: 100.0, at_work)
    assert run is not None
    return run.makespan


def test_what_is_left_counts_the_running_parts_and_not_what_will_never_run() -> None:
    assert left({"r": 0.75}, 4, {"r": 1}) == pytest.approx(125)
    assert left({}, 1, {"r": 1}) == pytest.approx(200)
    assert left({}, 1, {}, w="stopped") == pytest.approx(100)


def test_what_was_handed_out_ahead_of_its_place_waits_for_it() -> None:
    tasks = [Task(key, (), 1) for key in "abc"]
    states: dict[str, State] = dict.fromkeys("abc", "running")
    run = remaining_run(tasks, states, lambda key: 0.5, 2, lambda key: 100.0, {"a": 1, "b": 1})
    assert run is not None
    assert run.makespan == pytest.approx(100)


def test_a_running_stage_keeps_the_width_it_has() -> None:
    assert left({"r": 0.5}, 4, {"r": 4}) == pytest.approx(50 / speedup(4) + 100)


def test_nothing_known_is_no_guess_and_nothing_left_is_no_time() -> None:
    assert remaining_run(TASKS, STATES, lambda key: 0.0, 1, lambda key: None, {}) is None
    assert left({}, 1, {}, r="done", w="done") == 0.0


def test_the_eta_of_hundreds_of_stages_is_quick_enough_for_a_live_view(full_study: list[Task]) -> None:
    states: dict[str, State] = {task.key: "waiting" for task in full_study}
    cost = {task.key: task.cost for task in full_study}
    began = time.process_time()
    for _ in range(5):
        remaining_run(full_study, states, lambda key: 0.0, 64, cost.get, {})
    assert (time.process_time() - began) / 5 < 0.15


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--grid", "full_study", "--gpus", "1,64"]) == 0
    out = capsys.readouterr().out
    assert "w^0.95" in out
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["1", "64"]
    for wrong in (["--gpus", "0"], ["--gpus", "many"], ["--device", "abacus"], ["--grid", "no_such"]):
        assert main(wrong) == 2
