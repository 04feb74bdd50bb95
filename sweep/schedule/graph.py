"""The graph of stages as the schedule sees it: keys, upstream, work. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class Task:
    """What the schedule knows of a stage.

    Attributes:
        cost: expected work at width 1, in any unit, the same for all.
        widest: slots it may be given at most.
        narrowest: slots it cannot do without; other widths are this times a power of two.
    """

    key: str
    upstream: tuple[str, ...]
    cost: float
    widest: int = 1
    narrowest: int = 1


class Graph:
    """Tasks in an order in which each comes after what it needs.

    Raises:
        ValueError: if an upstream stage is unknown or the stages form a circle.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        """Take in all tasks."""
        self.tasks: Mapping[str, Task] = {task.key: task for task in tasks}
        self.order = self._upstream_first()
        self.downstream: dict[str, list[str]] = defaultdict(list)
        for task in self.tasks.values():
            for up in task.upstream:
                self.downstream[up].append(task.key)
        self._next: dict[str, str] = {}
        self.behind = self._chains_behind()

    def longest_chain(self) -> tuple[float, list[str]]:
        """Return the longest chain of work, and its stages from the first on; (0, []) where there are none."""
        first = max(self.order, key=lambda key: self.tasks[key].cost + self.behind[key], default=None)
        if first is None:
            return 0.0, []
        chain = [first]
        while chain[-1] in self._next:
            chain.append(self._next[chain[-1]])
        return self.tasks[first].cost + self.behind[first], chain

    def depths(self) -> dict[str, int]:
        """Return how many steps each stage is away from the first ones: the number of its phase, from 0."""
        depth: dict[str, int] = {}
        for key in self.order:
            depth[key] = 1 + max((depth[up] for up in self.tasks[key].upstream), default=-1)
        return depth

    def _chains_behind(self) -> dict[str, float]:
        """The longest chain of work behind each stage, itself not counted."""
        behind: dict[str, float] = {}
        for key in reversed(self.order):
            chains = [(self.tasks[down].cost + behind[down], down) for down in self.downstream[key]]
            behind[key], following = max(chains, key=lambda chain: chain[0], default=(0.0, None))
            if following is not None:
                self._next[key] = following
        return behind

    def _is_upstream_first(self) -> bool:
        place = {key: i for i, key in enumerate(self.tasks)}
        return all(place[up] < i for i, task in enumerate(self.tasks.values()) for up in task.upstream)

    def _upstream_first(self) -> tuple[str, ...]:
        unknown = {up for task in self.tasks.values() for up in task.upstream} - self.tasks.keys()
        if unknown:
            raise ValueError(f"upstream stages that are in no plan: {', '.join(sorted(unknown))}")
        if self._is_upstream_first():  # as a plan gives them: a large one is not sorted again
            return tuple(self.tasks)
        try:
            return tuple(TopologicalSorter({key: task.upstream for key, task in self.tasks.items()}).static_order())
        except CycleError as error:
            raise ValueError(f"the stages form a circle: {' → '.join(error.args[1])}") from error
