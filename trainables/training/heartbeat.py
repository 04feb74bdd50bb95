"""Signs of life now and then: also of work that is one long call."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


class RateLimiter:
    """Says whether something that is done now and then is due."""

    def __init__(self, seconds: float) -> None:
        """Let so many seconds lie at least between two times; infinity: it is never due."""
        self._seconds, self._last = seconds, time.perf_counter()

    def due(self) -> bool:
        """Say whether it is due; if so, it is next due the set time later."""
        now = time.perf_counter()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def with_heartbeat(work: Generator[object, None, T], limiter: RateLimiter, event: S) -> Generator[S, None, T]:
    """Run a generator to its end, and yield an event in those of its pauses in which one is due.

    Args:
        work: what it yields is ignored. It is closed however this ends.
        limiter: says when an event is due.
        event: what is yielded.

    Returns:
        what ``work`` returns.
    """
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if limiter.due():
                yield event


def without_heartbeat(work: Generator[object, None, T]) -> T:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
