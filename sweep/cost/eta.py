"""What is left of a run: the schedule once more, in simulated time, from where the run is now. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sweep.schedule.graph import Task
from sweep.schedule.scheduler import State
from sweep.schedule.simulator import SimulatedRun, simulate

OVER: frozenset[State] = frozenset({"done", "failed", "blocked", "stopped", "excluded"})


def remaining_run(
    tasks: Iterable[Task],
    states: Mapping[str, State],
    progress: Callable[[str], float],
    slots: int,
    seconds_of: Callable[[str], float | None],
    at_work: Mapping[str, int],
) -> SimulatedRun | None:
    """Return the run from now until all that can be done is done; None while nothing is known about some stage.

    Args:
        tasks: all stages.
        states: of each, as the schedule has them.
        progress: share done, 0 to 1, of a stage that runs or was given back.
        slots: of the cluster.
        seconds_of: seconds a stage takes in all on one slot, or None.
        at_work: slots of each stage that is being worked on. One that was handed out ahead of its place still waits.
    """
    left: list[Task] = []
    running: dict[str, int] = {}
    tasks = [task for task in tasks if states[task.key] not in OVER]
    present = {task.key for task in tasks}
    for task in tasks:
        seconds = seconds_of(task.key)
        if seconds is None:
            return None
        rest = seconds * (1 - min(1.0, max(0.0, progress(task.key))))
        left.append(replace(task, cost=rest, upstream=tuple(up for up in task.upstream if up in present)))
        if task.key in at_work:
            running[task.key] = at_work[task.key]
    room = max(slots, sum(running.values()), 1)
    return simulate([task for task in left if task.min_workers <= room], room, running=running)
