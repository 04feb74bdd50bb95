"""Signs of life now and then: also of work that is one long call."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


class RateLimiter:
    """Says when the next sign of life is due."""

    def __init__(self, seconds: float) -> None:
        """Let so many seconds lie at least between two signs; infinity: none is ever due."""
        self._seconds, self._last = seconds, time.perf_counter()

    def due(self) -> bool:
        """Say whether a sign is due; if so, the next one is due later."""
        now = time.perf_counter()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


def with_heartbeat(work: Generator[object, None, T], beat: RateLimiter, sign: S) -> Generator[S, None, T]:
    """Do work that pauses between its steps, and yield ``sign`` in those pauses in which one is due; return its result."""
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if beat.due():
                yield sign


def without_heartbeat(work: Generator[object, None, T]) -> T:
    """Do the same work without a pause, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
