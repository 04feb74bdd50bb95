"""Which of the ready stages starts first, and how many are tried."""

from __future__ import annotations

import pytest

from sweep.schedule.policies import POLICIES, Priority, ReadyStage
from sweep.schedule.ready_queue import MAX_SHAPES
from sweep.schedule.scheduler import Scheduler, Task

TASKS = [Task("short", (), 1), Task("long", (), 5), Task("first", (), 2), Task("after", ("first",), 9)]


def order(policy: str) -> list[str]:
    """The order in which the stages start on one slot."""
    scheduler, started = Scheduler(TASKS, policy=policy), []
    while (start := scheduler.start(1, 1)) is not None:
        started.append(start.key)
        scheduler.done(start.key)
    return started


def test_the_longest_chain_or_the_first_to_come() -> None:
    assert order("longest chain") == ["first", "after", "long", "short"]
    assert order("first come") == ["short", "long", "first", "after"]


def test_a_policy_is_a_function_and_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def shortest(stage: ReadyStage) -> Priority:
        return Priority(-stage.work, -stage.place)

    monkeypatch.setitem(POLICIES, "shortest first", shortest)
    assert order("shortest first") == ["short", "first", "long", "after"]


def test_an_unknown_policy_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match="no scheduling policy 'longest'; there are longest chain, first come; did you"
    ):
        Scheduler(TASKS, policy="longest")


@pytest.mark.parametrize(("shapes", "fits"), [(MAX_SHAPES - 1, True), (MAX_SHAPES, False)])
def test_so_many_shapes_are_tried_however_many_stages_they_have(shapes: int, fits: bool) -> None:
    """The stages of a shape all need more slots than are free."""
    large = [Task(f"large{i}-{n}", (), 2.0 + i, 2, 2) for i in range(shapes) for n in range(9)]
    scheduler = Scheduler([Task("runs", (), 100), *large, Task("small", (), 1)])
    assert scheduler.start(2, 2) == ("runs", 1, 1)
    assert scheduler.start(1, 2) == (("small", 1, 1) if fits else None)
