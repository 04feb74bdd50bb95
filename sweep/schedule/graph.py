"""The directed acyclic graph of stages as the scheduler sees it: keys, upstream keys, work. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter


@dataclass(frozen=True)
class Task:
    """What the scheduler knows of a stage.

    Attributes:
        key: of the stage.
        upstream: keys of the stages whose results it needs.
        cost: expected work on one worker, in a unit that is the same for all tasks.
        max_workers: most workers it may be given.
        min_workers: fewest workers it can run on; it runs on this times a power of two.
    """

    key: str
    upstream: tuple[str, ...]
    cost: float
    max_workers: int = 1
    min_workers: int = 1


class Graph:
    """Tasks in topological order.

    Attributes:
        tasks: by key.
        order: all keys, upstream before downstream.
        downstream: key -> keys of the tasks that need it.
        chain_after: key -> the longest chain of work that waits for the task, its own not counted.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        """Sort the tasks.

        Raises:
            ValueError: if an upstream key is unknown or the tasks form a cycle.
        """
        self.tasks: Mapping[str, Task] = {task.key: task for task in tasks}
        self.order = self._topological_order()
        self.downstream: dict[str, list[str]] = defaultdict(list)
        for task in self.tasks.values():
            for up in task.upstream:
                self.downstream[up].append(task.key)
        self._next: dict[str, str] = {}
        self.chain_after = self._chains_after()

    def longest_chain(self) -> tuple[float, list[str]]:
        """Return the work of the longest chain and its keys from the first on; (0, []) if there are no tasks."""
        first = max(self.order, key=lambda key: self.tasks[key].cost + self.chain_after[key], default=None)
        if first is None:
            return 0.0, []
        chain = [first]
        while chain[-1] in self._next:
            chain.append(self._next[chain[-1]])
        return self.tasks[first].cost + self.chain_after[first], chain

    def depths(self) -> dict[str, int]:
        """Return the length, in edges, of the longest path from a task without upstream to each task."""
        depth: dict[str, int] = {}
        for key in self.order:
            depth[key] = 1 + max((depth[up] for up in self.tasks[key].upstream), default=-1)
        return depth

    def _chains_after(self) -> dict[str, float]:
        after: dict[str, float] = {}
        for key in reversed(self.order):
            chains = [(self.tasks[down].cost + after[down], down) for down in self.downstream[key]]
            after[key], following = max(chains, key=lambda chain: chain[0], default=(0.0, None))
            if following is not None:
                self._next[key] = following
        return after

    def _is_sorted(self) -> bool:
        place = {key: i for i, key in enumerate(self.tasks)}
        return all(place[up] < i for i, task in enumerate(self.tasks.values()) for up in task.upstream)

    def _topological_order(self) -> tuple[str, ...]:
        unknown = {up for task in self.tasks.values() for up in task.upstream} - self.tasks.keys()
        if unknown:
            raise ValueError(f"unknown upstream stages, in no plan: {', '.join(sorted(unknown))}")
        if self._is_sorted():  # a plan is: its order is kept
            return tuple(self.tasks)
        try:
            return tuple(TopologicalSorter({key: task.upstream for key, task in self.tasks.items()}).static_order())
        except CycleError as error:
            raise ValueError(f"the stages form a cycle: {' → '.join(error.args[1])}") from error
