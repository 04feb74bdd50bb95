"""The driver with a way of running that needs no process: orders out, news in, the study as the judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.driver import Driver
from sweep.engine.trial_request import TrialRequest
from sweep.plan.plan import Plan
from sweep.schedule.scheduler import Budgets, Scheduler, Task
from trainables.errors import StorageError
from trainables.runtime import RuntimeContext, Workers
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study

SITE = RuntimeContext({"cells": "/data/cells"}, {"0" * 64: "/weights/a file"}, "pretrain")
WORKER = Workers(1, 4.0, 1.0)
DONE, LOST, SILENT, COMMITTED_THEN_LOST = "done", "lost", "silent", "committed, then lost"


class Heard:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def started(self, stage: Stage, attempt: int) -> None:
        self.events.append(("started", stage.name, attempt))

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        self.events.append(("progressed", stage.name, progress["epoch"]))

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        self.events.append(("finished", stage.name, result["key"]))

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        self.events.append(("failed", stage.name, error, again, sorted(b.name for b in blocked)))

    def of(self, event: str) -> list[list[Any]]:
        return [rest for kind, *rest in self.events if kind == event]


class InMemory:
    """Runs orders at once, one at a time, as a script of outcomes says; writes what a trial would write."""

    def __init__(self, study: Study, scores: Callable[[Stage], float] = lambda stage: 0.5) -> None:
        self.study = study
        self.scores = scores
        self.script: dict[str, Iterator[str]] = {}
        self.orders: list[TrialRequest] = []

    def run(self, driver: Driver) -> None:
        while not driver.finished:
            order = driver.next(1)
            assert order is not None, "nothing runs, nothing is ready, and it is not finished"
            self.one(driver, order)

    def one(self, driver: Driver, order: TrialRequest) -> None:
        order = TrialRequest.loads(order.dumps())
        self.orders.append(order)
        driver.began(order)
        key = str(order.stage.key)
        driver.progressed(key, {"epoch": 1, "epochs": 2})
        outcome = next(self.script.get(order.stage.name, iter(())), DONE)
        if outcome in (DONE, COMMITTED_THEN_LOST):
            self.commit(order.stage)
        if outcome in (LOST, COMMITTED_THEN_LOST):
            driver.lost(key)
        else:
            driver.ended(key, None if outcome in (DONE, SILENT) else outcome)

    def commit(self, stage: Stage) -> None:
        folder = self.study.folder(stage)
        folder.begin(stage)
        folder.commit({"status": "done", "key": stage.key, "metrics": {"val_f1_macro": self.scores(stage)}})


@pytest.fixture
def plan(planned: Callable[..., Plan], grid_text: str) -> Plan:
    return planned(grid_text)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(Storage(tmp_path / "a study"))


@pytest.fixture
def clock() -> list[float]:
    """A clock that is set by hand."""
    return [0.0]


@pytest.fixture
def drive(plan: Plan, study: Study, clock: list[float]) -> Callable[..., tuple[Driver, Heard]]:
    def make(budgets: Budgets | None = None, plan: Plan = plan, widest: int = 1) -> tuple[Driver, Heard]:
        heard = Heard()
        tasks = [Task(str(stage.key), stage.upstream, 1.0, widest) for stage in plan.stages]
        schedule = Scheduler(tasks, study.committed(plan.stages), budgets)
        return Driver(schedule, plan.stages, study, SITE, heard, WORKER, lambda: clock[0]), heard

    return make


def name_of(plan: Plan, kind: str, scenario: str = "Tissue") -> str:
    return next(stage.name for stage in plan.stages if stage.kind == kind and stage.scenario == scenario)


def test_a_whole_study(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive()
    execution = InMemory(study)
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    ran = [order.stage.name for order in execution.orders]
    assert sorted(ran) == sorted(stage.name for stage in plan.stages)
    assert ran[0] == name_of(plan, "pretrain"), "most work waits for it"
    assert heard.of("started") == [[name, 1] for name in ran]
    assert heard.of("finished") == [[order.stage.name, order.stage.key] for order in execution.orders]
    assert not heard.of("failed")
    assert all((order.study, order.runtime) == (study.storage.location, SITE) for order in execution.orders)


def test_what_is_committed_never_runs_again(drive: Any, plan: Plan, study: Study) -> None:
    before = InMemory(study)
    for stage in plan.stages[:4]:
        before.commit(stage)
    driver, _ = drive()
    execution = InMemory(study)
    execution.run(driver)
    assert {order.stage.key for order in execution.orders} == {stage.key for stage in plan.stages[4:]}
    driver, heard = drive()
    assert driver.finished
    assert driver.next(1) is None
    assert not heard.events


def test_what_failed_in_an_earlier_run_is_tried_again(drive: Any, plan: Plan, study: Study) -> None:
    study.folder(plan.stages[0]).begin(plan.stages[0])
    study.folder(plan.stages[0]).fail("ValueError", "x", "", 2)
    driver, heard = drive()
    InMemory(study).run(driver)
    assert heard.of("started")[0] == [plan.stages[0].name, 1]
    assert set(driver.states.values()) == {"done"}


def test_an_error_is_tried_again_and_the_same_error_is_final(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive(Budgets(errors=5))
    execution = InMemory(study)
    pretrain, cell = name_of(plan, "pretrain"), name_of(plan, "finetune", "Random")
    execution.script = {pretrain: iter(["E: 1", "E: 2", "E: 1"]), cell: iter(["E: 1"])}
    execution.run(driver)
    blocked = sorted(stage.name for stage in plan.cells if stage.scenario == "Tissue")
    assert len(blocked) == 4
    assert [event for event in heard.of("failed") if event[0] == pretrain] == [
        [pretrain, "E: 1", True, []],
        [pretrain, "E: 2", True, []],
        [pretrain, "E: 1", False, blocked],
    ]
    assert [event[1] for event in heard.of("started") if event[0] == cell] == [1, 2]
    names = {str(stage.key): stage.name for stage in plan.stages}
    states = {names[key]: state for key, state in driver.states.items()}
    assert states[pretrain] == "failed"
    assert {name for name, state in states.items() if state == "blocked"} == set(blocked)
    assert list(states.values()).count("done") == 4


def test_a_lost_process_is_another_matter_than_an_error(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive(Budgets(infrastructure=3, errors=1))
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([LOST, LOST, "E: 1", LOST])}
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    said = [event for event in heard.of("failed") if event[0] == cell]
    assert [event[2] for event in said] == [True] * 4
    assert "lost" in said[0][1]
    assert said[2][1] == "E: 1"


def test_a_process_lost_after_its_commit_has_done_its_work(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive(Budgets(infrastructure=0))
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([COMMITTED_THEN_LOST])}
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    assert cell in [event[0] for event in heard.of("finished")]
    assert not heard.of("failed")


def test_a_stage_that_ends_without_a_result_has_failed(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive()
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([SILENT, SILENT])}
    execution.run(driver)
    assert list(driver.states.values()).count("failed") == 1
    assert [event[2] for event in heard.of("failed")] == [True, False]
    assert "without a result" in heard.of("failed")[0][1]


def test_an_error_after_the_commit_is_no_failure(drive: Any, plan: Plan, study: Study) -> None:
    driver, heard = drive(Budgets(errors=0))
    order = driver.next(1)
    driver.began(order)
    InMemory(study).commit(order.stage)
    driver.ended(str(order.stage.key), "OSError: while ending")
    assert driver.states[str(order.stage.key)] == "done"
    assert not heard.of("failed")


def test_progress_is_passed_on(drive: Any, study: Study) -> None:
    driver, heard = drive()
    InMemory(study).run(driver)
    assert len(heard.of("progressed")) == 9


def test_stop_starts_nothing_more_and_takes_in_what_runs(drive: Any, study: Study) -> None:
    driver, _ = drive()
    execution = InMemory(study)
    order = driver.next(1)
    driver.began(order)
    assert not driver.stopping
    driver.stop()
    assert driver.stopping
    assert driver.next(1) is None
    assert not driver.finished
    execution.commit(order.stage)
    driver.ended(str(order.stage.key), None)
    assert driver.finished
    assert list(driver.states.values()).count("done") == 1
    driver, _ = drive()
    execution.run(driver)
    assert len(execution.orders) == 8


def test_a_result_that_cannot_be_read_is_redone(drive: Any, study: Study) -> None:
    driver, heard = drive()
    execution = InMemory(study)
    order = driver.next(1)
    driver.began(order)
    execution.commit(order.stage)
    torn = Path(study.folder(order.stage).path("result.json"))
    torn.write_text(torn.read_text()[:10])
    driver.lost(str(order.stage.key))
    assert heard.of("failed")[0][2], "it is tried again"
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    assert execution.orders[0].attempt == 2


def test_a_stage_lost_for_good_leaves_its_failure(drive: Any, plan: Plan, study: Study) -> None:
    driver, _ = drive(Budgets(infrastructure=2))
    execution = InMemory(study)
    stage = next(stage for stage in plan.cells if stage.scenario == "Random")
    execution.script = {stage.name: iter([LOST] * 9)}
    execution.run(driver)
    failure = study.folder(stage).failure()
    assert failure is not None
    assert failure["attempts"] == 3
    assert "lost" in failure["message"]
    assert study.states()[str(stage.key)[:16]] == "failed"


def test_one_is_handed_out_ahead_of_a_free_place_and_no_more(drive: Any) -> None:
    driver, _ = drive(widest=1)
    orders = [driver.next(2) for _ in range(5)]
    handed_out = [order for order in orders if order is not None]
    assert len(handed_out) == 3, "two run; five are ready"
    assert handed_out[0].workers == WORKER


def finish(driver: Driver, study: Study, order: TrialRequest) -> None:
    InMemory(study).commit(order.stage)
    driver.ended(str(order.stage.key), None)


def test_a_stage_killed_for_want_of_memory_holds_more_of_a_node_and_so_do_those_like_it(
    drive: Any, study: Study
) -> None:
    driver, heard = drive()
    first, second = (driver.next(2, node=2) for _ in range(2))
    driver.began(first)
    driver.began(second)
    assert [first.workers, second.workers] == [WORKER, WORKER]
    driver.crowded(str(second.stage.key))
    assert "want of memory" in heard.of("failed")[0][1]
    assert heard.of("failed")[0][2], "it is tried again"
    again = driver.next(2, node=2)
    assert again.workers == Workers(1, 2 * WORKER.cpus, 2 * WORKER.gpus), "one worker, with the places of two"
    assert driver.busy == 1, "it waits for them"
    assert driver.next(2, node=2) is None, "what is free is kept for it"
    finish(driver, study, first)
    driver.began(again)
    assert driver.busy == 2
    ahead = driver.next(2, node=2)
    assert ahead.workers.cpus == 2 * WORKER.cpus, "its network is known to be large now"
    finish(driver, study, again)
    assert driver.next(2, node=2) is not None, "one is handed out ahead, as ever"
    assert driver.next(2, node=2) is None


def test_two_killed_at_once_for_want_of_memory_double_what_they_hold_once(drive: Any) -> None:
    driver, _ = drive()
    orders = [driver.next(8, node=8) for _ in range(2)]
    for order in orders:
        driver.crowded(str(order.stage.key))
    again = driver.next(8, node=8)
    assert again.workers.cpus == 2 * WORKER.cpus
    driver.crowded(str(again.stage.key))
    assert driver.next(8, node=8).workers.cpus == 4 * WORKER.cpus


@pytest.mark.parametrize("node", [0, 1])
def test_no_stage_holds_more_than_a_node_has(drive: Any, node: int) -> None:
    driver, _ = drive()
    driver.crowded(str(driver.next(8, node=node).stage.key))
    assert driver.next(8, node=node).workers == WORKER


def test_a_stage_that_is_too_large_even_alone_is_given_up(drive: Any, study: Study) -> None:
    driver, heard = drive(Budgets(infrastructure=2))
    first = str(driver.next(2, node=2).stage.key)
    for attempt in range(3):
        driver.crowded(first)
        if attempt < 2:
            assert str(driver.next(2, node=2).stage.key) == first
    assert driver.states[first] == "failed"
    assert "want of memory" in heard.of("failed")[-1][1]


def test_wide_stages_have_all_their_places_and_nothing_is_handed_out_ahead_of_them(drive: Any, study: Study) -> None:
    driver, _ = drive(widest=4)
    orders = []
    while (order := driver.next(12)) is not None:
        orders.append(order)
    assert orders[0].stage.kind == "pretrain"
    assert max(order.workers.count for order in orders) > 1
    assert sum(driver.widths.values()) <= 12
    assert orders[0].workers == Workers(orders[0].workers.count, 4.0, 1.0)
    for key in list(driver.widths):
        stage = next(s for s in driver._stages.values() if s.key == key)
        InMemory(study).commit(stage)
        driver.ended(key, None)
    assert not driver.widths


def test_the_seconds_that_workers_were_given_are_counted(drive: Any, study: Study, clock: list[float]) -> None:
    driver, _ = drive()
    order = driver.next(1)
    clock[0] = 5.0
    assert driver.worker_seconds() == driver.busy == 0, "it has no place yet"
    driver.began(order)
    clock[0] = 15.0
    assert driver.worker_seconds() == 10.0
    assert driver.at_work == {str(order.stage.key): 1}
    driver.progressed(str(order.stage.key), {"epoch": 0.5, "epochs": 2})
    assert driver.share(str(order.stage.key)) == 0.25
    clock[0] = 17.0
    finish(driver, study, order)
    clock[0] = 99.0
    assert driver.worker_seconds() == 12.0
    assert driver.share(str(order.stage.key)) == 0.0


def test_where_the_cluster_may_grow_what_is_ready_is_handed_out_for_it(drive: Any) -> None:
    """A cluster without a worker: its autoscaler sees what waits."""
    driver, _ = drive(widest=8)
    orders = [order for _ in range(9) if (order := driver.next(0, growth=2))]
    assert len(orders) == 3, "as many as may come, and one ahead"
    assert {order.workers.count for order in orders} == {1}, "a wide one starts when its places are there"
    assert driver.busy == 0


def test_nothing_is_handed_out_for_growth_that_could_take_a_wide_stages_place(drive: Any) -> None:
    driver, _ = drive(widest=2)
    wide = driver.next(10)
    assert wide.workers.count == 2
    while driver.next(2, growth=0):
        pytest.fail("handed out beside a wide one")
    assert driver.next(2, growth=4) is None, "its places may not be taken yet"
    driver.began(wide)
    driver.progressed(str(wide.stage.key), {"epoch": 0.1, "epochs": 2})
    assert driver.next(2, growth=4) is not None


def test_a_storage_that_is_gone_for_good_stops_the_run(
    drive: Any, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, _ = drive(Budgets(infrastructure=1))
    order = driver.next(1)

    def gone(*_: object) -> None:
        raise StorageError("the bucket does not exist")

    for method in ("files", "read", "write", "exists"):
        monkeypatch.setattr(Storage, method, gone)
    driver.lost(str(order.stage.key), "the bucket does not exist")
    assert not driver.stopping, "it may be back"
    assert driver.next(1).stage == order.stage
    driver.lost(str(order.stage.key), "the bucket does not exist")
    assert driver.stopping
    assert driver.limit == "the study cannot be written to: the bucket does not exist"
    assert driver.finished


def test_a_damaged_upstream_that_cannot_be_taken_back_is_no_error_of_the_stage(
    drive: Any, plan: Plan, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain = next(stage for stage in plan.stages if stage.kind == "pretrain")
    InMemory(study).commit(pretrain)
    driver, heard = drive()
    while (order := driver.next(9)).stage.scenario != "Tissue":
        pass

    def gone(*_: object) -> None:
        raise StorageError("does not answer")

    monkeypatch.setattr(Storage, "write", gone)
    driver.damaged(str(order.stage.key), str(pretrain.key), "DamagedError: its SHA-256 differs")
    assert heard.of("failed") == [[order.stage.name, "does not answer", True, []]]


def test_a_limit_stops_the_run_and_is_remembered(drive: Any) -> None:
    driver, _ = drive()
    driver.stop("the money is spent")
    driver.stop()
    assert driver.limit == "the money is spent"
    assert driver.next(1) is None
    assert driver.finished


def test_what_is_not_admitted_does_not_start(drive: Any) -> None:
    driver, _ = drive()
    assert driver.next(1, lambda key, width: "too late") is None
    assert set(driver.states.values()) == {"stopped"}


def test_a_stage_that_a_person_stopped_is_left_for_another_run(drive: Any, study: Study) -> None:
    driver, heard = drive()
    order = driver.next(1)
    driver.set_aside(str(order.stage.key))
    assert driver.states[str(order.stage.key)] == "stopped"
    assert study.folder(order.stage).failure() is None
    assert "stopped by a person" in heard.of("failed")[0][1]
    InMemory(study).run(driver)
    assert set(driver.states.values()) == {"done", "stopped"}


def test_a_damaged_upstream_result_is_taken_back(drive: Any, plan: Plan, study: Study) -> None:
    pretrain = next(stage for stage in plan.stages if stage.kind == "pretrain")
    InMemory(study).commit(pretrain)
    driver, heard = drive()
    while (order := driver.next(9)).stage.scenario != "Tissue":
        pass
    driver.damaged(str(order.stage.key), str(pretrain.key), "DamagedError: its SHA-256 differs")
    assert study.folder(pretrain).result() is None
    assert study.storage.read_json(f"stages/{pretrain.folder}/retired.json")["reason"].endswith("differs")
    assert heard.of("failed")[0][0] == order.stage.name


def test_an_order_survives_its_journey(planned: Callable[..., Plan], grid_text: str) -> None:
    plan = planned(
        grid_text,
        "scenarios.Start={start: imagenet}",
        "weights.imagenet={tiny: {file: x}}",
        "learning_rate=[0.1, 1.0e-7]",
        "architectures.tiny.options={patch_size: 8, names: [é, ☃]}",
    )
    assert {stage.initial.source for stage in plan.stages} == {"random", "stage", "file"}
    for attempt, stage in enumerate(plan.stages, 1):
        order = TrialRequest(stage, "s3://bucket/a study é", SITE, attempt)
        again = TrialRequest.loads(order.dumps())
        assert again == order
        assert again.stage.key == stage.key
        assert again.runtime.keep_weights == "pretrain"


def test_an_order_that_was_changed_on_its_way_is_refused(plan: Plan) -> None:
    content = json.loads(TrialRequest(plan.stages[0], "x", SITE, 1).dumps())
    content["stage"]["learning_rate"] = 0.5
    with pytest.raises(ValueError, match="is not that of its content"):
        TrialRequest.loads(json.dumps(content))


def test_a_stage_is_silent_when_nothing_was_heard_of_it_for_long(
    drive: Callable[..., tuple[Driver, Heard]], clock: list[float]
) -> None:
    driver, _ = drive()
    one, two = driver.next(2), driver.next(2)
    assert one is not None
    assert two is not None
    first, second = str(one.stage.key), str(two.stage.key)
    driver.began(one)
    driver.began(two)
    clock[0] = 1e6
    assert driver.silent(10.0) == [], "it may fetch data, or wait for nodes, before its first sign"
    driver.progressed(first, {"epoch": 1, "epochs": 2})
    clock[0] += 9.0
    driver.progressed(second, {"epoch": 1, "epochs": 2})
    assert driver.silent(10.0) == []
    clock[0] += 1.0
    assert driver.silent(10.0) == [first]
    assert driver.silent(10.0) == [], "it is given time to end"
    clock[0] += 9.5
    assert driver.silent(10.0) == [second]
    clock[0] += 0.5
    assert driver.silent(10.0) == [first]
    driver.lost(first)
    clock[0] += 40.0
    assert driver.silent(10.0) == [second], "who has ended is not missed"
