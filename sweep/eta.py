"""How long what is left will take: the schedule once more, in simulated time, from where the run is now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sweep.graph import Task
from sweep.schedule import State
from sweep.simulate import simulate

OVER: frozenset[State] = frozenset({"failed", "blocked", "stopped", "excluded"})


def seconds_left(
    tasks: Iterable[Task],
    states: Mapping[str, State],
    progress: Mapping[str, float],
    slots: int,
    seconds_of: Callable[[str], float | None],
    widths: Mapping[str, int] | None = None,
) -> float | None:
    """Return the seconds until all that can be done is done; None while nothing is known about some stage.

    Args:
        tasks: all stages.
        states: of each, as the schedule has them.
        progress: share done, 0 to 1, of those that run or were given back.
        slots: of the cluster.
        seconds_of: seconds a stage takes in all on one slot, or None.
        widths: slots of each running stage (1 where absent).
    """
    left: list[Task] = []
    running: dict[str, int] = {}
    tasks = [task for task in tasks if states[task.key] not in OVER and states[task.key] != "done"]
    present = {task.key for task in tasks}
    for task in tasks:
        seconds = seconds_of(task.key)
        if seconds is None:
            return None
        rest = seconds * (1 - min(1.0, max(0.0, progress.get(task.key, 0.0))))
        left.append(replace(task, cost=rest, upstream=tuple(up for up in task.upstream if up in present)))
        if states[task.key] == "running":
            running[task.key] = (widths or {}).get(task.key, 1)
    room = max(slots, sum(running.values()), 1)
    return simulate([task for task in left if task.narrowest <= room], room, running=running).makespan
