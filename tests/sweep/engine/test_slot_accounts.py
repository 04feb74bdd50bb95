"""The slots that the driver gives to stages: of several workers, after an OOM, and beyond what the cluster has."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.schedule.scheduler import Budgets
from tests.sweep.support.in_memory_backend import WORKER, InMemory, finish
from trainables.runtime import Workers
from trainables.store.study import Study


def test_one_request_is_dispatched_beyond_the_slots(drive: Any) -> None:
    driver, _ = drive(widest=1)
    requests = [driver.next_request(2) for _ in range(5)]
    handed_out = [request for request in requests if request is not None]
    assert len(handed_out) == 3, "two run; five are ready"
    assert handed_out[0].workers == WORKER


def test_after_an_oom_a_stage_and_those_like_it_hold_more_slots(drive: Any, study: Study) -> None:
    driver, recorder = drive()
    first, second = (driver.next_request(2, slots_per_node=2) for _ in range(2))
    driver.on_started(first)
    driver.on_started(second)
    assert [first.workers, second.workers] == [WORKER, WORKER]
    driver.on_oom(str(second.stage.key))
    assert "out of memory" in recorder.of("failed")[0][1]
    assert recorder.of("failed")[0][2], "it is tried again"
    again = driver.next_request(2, slots_per_node=2)
    assert again.workers == Workers(1, 2 * WORKER.cpus, 2 * WORKER.gpus), "one worker, with the places of two"
    assert driver.slots.busy == 1, "it waits for them"
    assert driver.next_request(2, slots_per_node=2) is None, "what is free is kept for it"
    finish(driver, study, first)
    driver.on_started(again)
    assert driver.slots.busy == 2
    ahead = driver.next_request(2, slots_per_node=2)
    assert ahead.workers.cpus == 2 * WORKER.cpus, "its network is known to be large now"
    finish(driver, study, again)
    assert driver.next_request(2, slots_per_node=2) is not None, "one is handed out ahead, as ever"
    assert driver.next_request(2, slots_per_node=2) is None


def test_two_ooms_at_once_double_the_slots_once(drive: Any) -> None:
    driver, _ = drive()
    requests = [driver.next_request(8, slots_per_node=8) for _ in range(2)]
    for request in requests:
        driver.on_oom(str(request.stage.key))
    again = driver.next_request(8, slots_per_node=8)
    assert again.workers.cpus == 2 * WORKER.cpus
    driver.on_oom(str(again.stage.key))
    assert driver.next_request(8, slots_per_node=8).workers.cpus == 4 * WORKER.cpus


@pytest.mark.parametrize("node", [0, 1])
def test_no_worker_holds_more_slots_than_a_node_has(drive: Any, node: int) -> None:
    driver, _ = drive()
    driver.on_oom(str(driver.next_request(8, slots_per_node=node).stage.key))
    assert driver.next_request(8, slots_per_node=node).workers == WORKER


def test_a_stage_that_is_too_large_even_alone_is_given_up(drive: Any, study: Study) -> None:
    driver, recorder = drive(Budgets(infrastructure=2))
    first = str(driver.next_request(2, slots_per_node=2).stage.key)
    for attempt in range(3):
        driver.on_oom(first)
        if attempt < 2:
            assert str(driver.next_request(2, slots_per_node=2).stage.key) == first
    assert driver.states[first] == "failed"
    assert "out of memory" in recorder.of("failed")[-1][1]


def test_stages_of_several_workers_get_all_slots_and_nothing_is_dispatched_ahead_of_them(
    drive: Any, study: Study
) -> None:
    driver, _ = drive(widest=4)
    requests = []
    while (request := driver.next_request(12)) is not None:
        requests.append(request)
    assert requests[0].stage.kind == "pretrain"
    assert max(request.workers.count for request in requests) > 1
    assert sum(driver.slots.dispatched.values()) <= 12
    assert requests[0].workers == Workers(requests[0].workers.count, 4.0, 1.0)
    for key in list(driver.slots.dispatched):
        stage = next(s for s in driver._stages.values() if s.key == key)
        InMemory(study).commit(stage)
        driver.on_ended(key, None)
    assert not driver.slots.dispatched


def test_worker_seconds_count_from_the_start_of_a_trial(drive: Any, study: Study, clock: list[float]) -> None:
    driver, _ = drive()
    request = driver.next_request(1)
    clock[0] = 5.0
    assert driver.slots.worker_seconds() == driver.slots.busy == 0, "it has no place yet"
    driver.on_started(request)
    clock[0] = 15.0
    assert driver.slots.worker_seconds() == 10.0
    assert driver.at_work == {str(request.stage.key): 1}
    driver.on_progress(str(request.stage.key), {"epoch": 0.5, "epochs": 2})
    assert driver.share(str(request.stage.key)) == 0.25
    clock[0] = 17.0
    finish(driver, study, request)
    clock[0] = 99.0
    assert driver.slots.worker_seconds() == 12.0
    assert driver.share(str(request.stage.key)) == 0.0


def test_headroom_of_an_autoscaler_is_filled_with_requests(drive: Any) -> None:
    """A cluster without a worker: its autoscaler sees what waits."""
    driver, _ = drive(widest=8)
    requests = [request for _ in range(9) if (request := driver.next_request(0, headroom=2))]
    assert len(requests) == 3, "as many as may come, and one ahead"
    assert {request.workers.count for request in requests} == {1}, "a wide one starts when its places are there"
    assert driver.slots.busy == 0


def test_headroom_is_not_filled_while_several_workers_wait_for_slots(drive: Any) -> None:
    driver, _ = drive(widest=2)
    wide = driver.next_request(10)
    assert wide.workers.count == 2
    while driver.next_request(2, headroom=0):
        pytest.fail("handed out beside a wide one")
    assert driver.next_request(2, headroom=4) is None, "its places may not be taken yet"
    driver.on_started(wide)
    driver.on_progress(str(wide.stage.key), {"epoch": 0.1, "epochs": 2})
    assert driver.next_request(2, headroom=4) is not None
