"""The stages that may start, in the order of a policy."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator

from sweep.schedule.policies import Priority

MAX_SHAPES = 16
"""So many shapes are tried before the queue gives up: nothing that is ready fits now."""


class ReadyQueue:
    """Ready stages as a sorted list; the last of it starts first.

    Stages of one **shape** (priority, work left, limits of the number of workers) are alike: where one of them cannot
    start, none can. A study has thousands of stages but few shapes, so only the first stage of each shape is tried.
    """

    def __init__(self) -> None:
        """Create an empty queue."""
        self._sorted: list[tuple[Priority, str, int]] = []
        self._entries: dict[str, tuple[Priority, str, int]] = {}
        self._shapes: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """Return the number of stages."""
        return len(self._sorted)

    def add(self, key: str, priority: Priority, shape: Hashable) -> None:
        """Add a stage.

        Args:
            key: of the stage.
            priority: its place in the queue; the highest starts first.
            shape: what, beside the priority, its number of workers depends on.
        """
        number = self._shapes.setdefault((priority.value, shape), len(self._shapes))
        self._entries[key] = (priority, key, number)
        insort(self._sorted, self._entries[key])

    def remove(self, key: str) -> None:
        """Remove a stage."""
        del self._sorted[bisect_left(self._sorted, self._entries.pop(key))]

    def keys(self) -> list[str]:
        """Return all stages, the first to start first."""
        return [key for _, key, _ in reversed(self._sorted)]

    def candidates(self) -> Iterator[str]:
        """Yield the first stage of each shape, the first to start first. The caller may remove the one it was given."""
        passed: set[int] = set()
        for _, key, shape in reversed(self._sorted):  # removing the current one does not move those still to come
            if shape in passed:
                continue
            yield key
            if key in self._entries:
                passed.add(shape)
            if len(passed) == MAX_SHAPES:
                return
