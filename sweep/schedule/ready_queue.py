"""The stages that may start, the most urgent first. Stages of one shape stand in one lane.

A study has thousands of stages of a few shapes (an architecture at one place of the graph). Where the most urgent
stage does not fit, the next shape is looked at, not its thousand twins: so a look past costs no scan.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from enum import Enum

LOOK_PAST = 16
"""So many lanes are looked at before the queue says that nothing fits."""


class Verdict(Enum):
    """What is to be done with the first stage of a lane."""

    TAKE = "it starts"
    PASS = "it stays where it is; look at the next lane"  # noqa: S105 - no password
    DROP = "it leaves the queue; look at the stage behind it"
    HOLD = "nothing may start before it"


class ReadyQueue:
    """Lanes of ready stages. Adding and taking cost O(log n)."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lanes: dict[Hashable, list[tuple[int, str]]] = {}
        self._heads: list[tuple[float, int, int, Hashable]] = []
        self._urgency: dict[str, float] = {}
        self._pushes = 0

    def __len__(self) -> int:
        """Count the stages."""
        return len(self._urgency)

    def add(self, key: str, urgency: float, rank: int, shape: Hashable) -> None:
        """Add a stage: those of greater urgency come first, among equals those of lower rank."""
        lane = self._lanes.setdefault((urgency, shape), [])
        heapq.heappush(lane, (rank, key))
        self._urgency[key] = urgency
        if lane[0][1] == key:
            self._show((urgency, shape))

    def keys(self) -> list[str]:
        """Return all, the most urgent first."""
        ordered = sorted((-self._urgency[key], rank, key) for lane in self._lanes.values() for rank, key in lane)
        return [key for _, _, key in ordered]

    def take(self, judge: Callable[[str], Verdict]) -> str | None:
        """Take out the first stage that is judged to start; None where none of those looked at is."""
        passed: list[Hashable] = []
        found: str | None = None
        while self._heads and found is None and len(passed) < LOOK_PAST:
            _, rank, _, name = heapq.heappop(self._heads)
            lane = self._lanes.get(name)
            if not lane or lane[0][0] != rank or name in passed:
                continue  # shown before another came in front of it
            verdict = judge(lane[0][1])
            if verdict in (Verdict.TAKE, Verdict.DROP):
                key = self._leave(name)
                found = key if verdict is Verdict.TAKE else None
            else:
                passed.append(name)
                if verdict is Verdict.HOLD:
                    break
        for name in passed:
            self._show(name)
        return found

    def _leave(self, name: Hashable) -> str:
        lane = self._lanes[name]
        key = heapq.heappop(lane)[1]
        del self._urgency[key]
        if lane:
            self._show(name)
        else:
            del self._lanes[name]
        return key

    def _show(self, name: Hashable) -> None:
        rank, key = self._lanes[name][0]
        self._pushes += 1  # shapes need not be comparable
        heapq.heappush(self._heads, (-self._urgency[key], rank, self._pushes, name))
