"""The driver with a backend in memory: what it makes of the outcomes of attempts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.driver import Driver
from sweep.plan.plan import Plan
from sweep.schedule.scheduler import Budgets
from tests.sweep.support.in_memory_backend import COMMITTED_THEN_LOST, LOST, RUNTIME, SILENT, InMemory, Recorder
from trainables.errors import StorageError
from trainables.store.storage import Storage
from trainables.store.study import Study


def name_of(plan: Plan, kind: str, scenario: str = "Tissue") -> str:
    return next(stage.name for stage in plan.stages if stage.kind == kind and stage.scenario == scenario)


def test_a_whole_study(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive()
    execution = InMemory(study)
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    ran = [request.stage.name for request in execution.requests]
    assert sorted(ran) == sorted(stage.name for stage in plan.stages)
    assert ran[0] == name_of(plan, "pretrain"), "most work waits for it"
    assert recorder.of("started") == [[name, 1] for name in ran]
    assert recorder.of("finished") == [[request.stage.name, request.stage.key] for request in execution.requests]
    assert not recorder.of("failed")
    assert all((request.study, request.runtime) == (study.storage.location, RUNTIME) for request in execution.requests)


def test_what_is_committed_never_runs_again(drive: Any, plan: Plan, study: Study) -> None:
    before = InMemory(study)
    for stage in plan.stages[:4]:
        before.commit(stage)
    driver, _ = drive()
    execution = InMemory(study)
    execution.run(driver)
    assert {request.stage.key for request in execution.requests} == {stage.key for stage in plan.stages[4:]}
    driver, recorder = drive()
    assert driver.finished
    assert driver.next_request(1) is None
    assert not recorder.events


def test_what_failed_in_an_earlier_run_is_tried_again(drive: Any, plan: Plan, study: Study) -> None:
    study.folder(plan.stages[0]).begin(plan.stages[0])
    study.folder(plan.stages[0]).fail("ValueError", "x", "", 2)
    driver, recorder = drive()
    InMemory(study).run(driver)
    assert recorder.of("started")[0] == [plan.stages[0].name, 1]
    assert set(driver.states.values()) == {"done"}


def test_an_error_is_tried_again_and_the_same_error_is_final(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive(Budgets(errors=5))
    execution = InMemory(study)
    pretrain, cell = name_of(plan, "pretrain"), name_of(plan, "finetune", "Random")
    execution.script = {pretrain: iter(["E: 1", "E: 2", "E: 1"]), cell: iter(["E: 1"])}
    execution.run(driver)
    blocked = sorted(stage.name for stage in plan.cells if stage.scenario == "Tissue")
    assert len(blocked) == 4
    assert [event for event in recorder.of("failed") if event[0] == pretrain] == [
        [pretrain, "E: 1", True, []],
        [pretrain, "E: 2", True, []],
        [pretrain, "E: 1", False, blocked],
    ]
    assert [event[1] for event in recorder.of("started") if event[0] == cell] == [1, 2]
    names = {str(stage.key): stage.name for stage in plan.stages}
    states = {names[key]: state for key, state in driver.states.items()}
    assert states[pretrain] == "failed"
    assert {name for name, state in states.items() if state == "blocked"} == set(blocked)
    assert list(states.values()).count("done") == 4


def test_lost_processes_and_errors_have_budgets_of_their_own(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive(Budgets(infrastructure=3, errors=1))
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([LOST, LOST, "E: 1", LOST])}
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    said = [event for event in recorder.of("failed") if event[0] == cell]
    assert [event[2] for event in said] == [True] * 4
    assert "lost" in said[0][1]
    assert said[2][1] == "E: 1"


def test_a_process_lost_after_its_commit_is_no_failure(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive(Budgets(infrastructure=0))
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([COMMITTED_THEN_LOST])}
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    assert cell in [event[0] for event in recorder.of("finished")]
    assert not recorder.of("failed")


def test_a_stage_that_ends_without_a_result_has_failed(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive()
    execution = InMemory(study)
    cell = name_of(plan, "finetune", "Random")
    execution.script = {cell: iter([SILENT, SILENT])}
    execution.run(driver)
    assert list(driver.states.values()).count("failed") == 1
    assert [event[2] for event in recorder.of("failed")] == [True, False]
    assert "without a result" in recorder.of("failed")[0][1]


def test_an_error_after_the_commit_is_no_failure(drive: Any, plan: Plan, study: Study) -> None:
    driver, recorder = drive(Budgets(errors=0))
    request = driver.next_request(1)
    driver.on_started(request)
    InMemory(study).commit(request.stage)
    driver.on_ended(str(request.stage.key), "OSError: while ending")
    assert driver.states[str(request.stage.key)] == "done"
    assert not recorder.of("failed")


def test_progress_is_passed_to_the_callback(drive: Any, study: Study) -> None:
    driver, recorder = drive()
    InMemory(study).run(driver)
    assert len(recorder.of("progressed")) == 9


def test_stop_starts_nothing_more_and_records_what_runs(drive: Any, study: Study) -> None:
    driver, _ = drive()
    execution = InMemory(study)
    request = driver.next_request(1)
    driver.on_started(request)
    assert not driver.stopping
    driver.stop()
    assert driver.stopping
    assert driver.next_request(1) is None
    assert not driver.finished
    execution.commit(request.stage)
    driver.on_ended(str(request.stage.key), None)
    assert driver.finished
    assert list(driver.states.values()).count("done") == 1
    driver, _ = drive()
    execution.run(driver)
    assert len(execution.requests) == 8


def test_a_result_that_cannot_be_read_is_redone(drive: Any, study: Study) -> None:
    driver, recorder = drive()
    execution = InMemory(study)
    request = driver.next_request(1)
    driver.on_started(request)
    execution.commit(request.stage)
    torn = Path(study.folder(request.stage).path("result.json"))
    torn.write_text(torn.read_text()[:10])
    driver.on_worker_lost(str(request.stage.key))
    assert recorder.of("failed")[0][2], "it is tried again"
    execution.run(driver)
    assert set(driver.states.values()) == {"done"}
    assert execution.requests[0].attempt == 2


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


def test_a_storage_that_is_gone_for_good_stops_the_run(
    drive: Any, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, _ = drive(Budgets(infrastructure=1))
    request = driver.next_request(1)

    def gone(*_: object) -> None:
        raise StorageError("the bucket does not exist")

    for method in ("files", "read", "write", "exists"):
        monkeypatch.setattr(Storage, method, gone)
    driver.on_worker_lost(str(request.stage.key), "the bucket does not exist")
    assert not driver.stopping, "it may be back"
    assert driver.next_request(1).stage == request.stage
    driver.on_worker_lost(str(request.stage.key), "the bucket does not exist")
    assert driver.stopping
    assert driver.limit == "the study cannot be written to: the bucket does not exist"
    assert driver.finished


def test_a_corrupt_upstream_result_that_cannot_be_retired_is_no_error_of_the_stage(
    drive: Any, plan: Plan, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain = next(stage for stage in plan.stages if stage.kind == "pretrain")
    InMemory(study).commit(pretrain)
    driver, recorder = drive()
    while (request := driver.next_request(9)).stage.scenario != "Tissue":
        pass

    def gone(*_: object) -> None:
        raise StorageError("does not answer")

    monkeypatch.setattr(Storage, "write", gone)
    driver.on_corrupt_upstream(str(request.stage.key), str(pretrain.key), "DamagedError: its SHA-256 differs")
    assert recorder.of("failed") == [[request.stage.name, "does not answer", True, []]]


def test_a_limit_stops_the_run_and_is_remembered(drive: Any) -> None:
    driver, _ = drive()
    driver.stop("the money is spent")
    driver.stop()
    assert driver.limit == "the money is spent"
    assert driver.next_request(1) is None
    assert driver.finished


def test_what_is_not_admitted_does_not_start(drive: Any) -> None:
    driver, _ = drive()
    assert driver.next_request(1, lambda key, width: "too late") is None
    assert set(driver.states.values()) == {"stopped"}


def test_a_cancelled_stage_is_left_for_the_next_run(drive: Any, study: Study) -> None:
    driver, recorder = drive()
    request = driver.next_request(1)
    driver.on_cancelled(str(request.stage.key))
    assert driver.states[str(request.stage.key)] == "stopped"
    assert study.folder(request.stage).failure() is None
    assert "stopped by a person" in recorder.of("failed")[0][1]
    InMemory(study).run(driver)
    assert set(driver.states.values()) == {"done", "stopped"}


def test_a_corrupt_upstream_result_is_retired(drive: Any, plan: Plan, study: Study) -> None:
    pretrain = next(stage for stage in plan.stages if stage.kind == "pretrain")
    InMemory(study).commit(pretrain)
    driver, recorder = drive()
    while (request := driver.next_request(9)).stage.scenario != "Tissue":
        pass
    driver.on_corrupt_upstream(str(request.stage.key), str(pretrain.key), "DamagedError: its SHA-256 differs")
    assert study.folder(pretrain).result() is None
    assert study.storage.read_json(f"stages/{pretrain.folder}/retired.json")["reason"].endswith("differs")
    assert recorder.of("failed")[0][0] == request.stage.name


def test_a_stage_without_a_heartbeat_for_long_is_unresponsive(
    drive: Callable[..., tuple[Driver, Recorder]], clock: list[float]
) -> None:
    driver, _ = drive()
    one, two = driver.next_request(2), driver.next_request(2)
    assert one is not None
    assert two is not None
    first, second = str(one.stage.key), str(two.stage.key)
    driver.on_started(one)
    driver.on_started(two)

    def wait(seconds: float) -> list[str]:
        """As the loop of a run does: it looks again and again."""
        found: list[str] = []
        for _ in range(round(2 * seconds)):
            clock[0] += 0.5
            found += driver.unresponsive(10.0)
        return found

    assert wait(100.0) == [], "it may fetch data, or wait for nodes, before its first sign"
    driver.on_progress(first, {"epoch": 1, "epochs": 2})
    assert wait(9.0) == []
    driver.on_progress(second, {"epoch": 1, "epochs": 2})
    assert driver.unresponsive(10.0) == []
    assert wait(1.0) == [first]
    assert driver.unresponsive(10.0) == [], "it is given time to end"
    assert wait(9.0) == [second]
    assert wait(1.0) == [first]
    driver.on_worker_lost(first)
    assert wait(9.0) == [second], "who has ended is not missed"


def test_a_driver_that_stood_still_accuses_nobody(
    drive: Callable[..., tuple[Driver, Recorder]], clock: list[float]
) -> None:
    """After Ctrl-Z and fg, or with the whole machine, whatever the hang time-out is."""
    driver, _ = drive()
    request = driver.next_request(2)
    assert request is not None
    key = str(request.stage.key)
    driver.on_started(request)
    driver.on_progress(key, {"epoch": 1, "epochs": 2})
    clock[0] += 20.0
    assert driver.unresponsive(10.0) == []
    clock[0] += 1e6
    driver.on_progress(key, {"epoch": 2, "epochs": 2})
    clock[0] += 1e6
    assert driver.unresponsive(10.0) == []
    for _ in range(20):
        assert driver.unresponsive(10.0) == []
        clock[0] += 0.25
    assert driver.unresponsive(10.0) == [key], "it is awake again, and the silence counts"
