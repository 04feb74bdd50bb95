"""Signs of life of work that is one long call."""

from __future__ import annotations

import math
from collections.abc import Generator

import pytest

from trainables.training.heartbeat import RateLimiter, with_heartbeat, without_heartbeat


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr("trainables.training.heartbeat.time.perf_counter", lambda: now[0])
    return now


def work(clock: list[float], seconds: list[float], ended: list[str]) -> Generator[None, None, str]:
    """Take so many seconds a step."""
    try:
        for step in seconds:
            clock[0] += step
            yield
    finally:
        ended.append("ended")
    return "result"


def test_a_sign_is_due_no_sooner_than_asked(clock: list[float]) -> None:
    beat, due = RateLimiter(5.0), []
    for _ in range(12):
        clock[0] += 1
        due.append(beat.due())
    assert [second for second, is_due in enumerate(due, 1) if is_due] == [5, 10]
    assert not RateLimiter(math.inf).due()


def test_work_yields_signs_and_returns_its_result(clock: list[float]) -> None:
    signs: list[str] = []

    def whole() -> Generator[str, None, None]:
        signs.append("begin")
        found = yield from with_heartbeat(work(clock, [1, 6, 1, 1, 9], []), RateLimiter(5.0), "alive")
        signs.append(found)

    seen = list(whole())
    assert seen == ["alive", "alive"]
    assert signs == ["begin", "result"]
    assert without_heartbeat(work(clock, [1, 1], [])) == "result"


def test_work_that_is_stopped_in_a_pause_is_ended(clock: list[float]) -> None:
    ended: list[str] = []
    running = with_heartbeat(work(clock, [1, 1, 1], ended), RateLimiter(0.0), "alive")
    next(running)
    running.close()
    assert ended == ["ended"]
