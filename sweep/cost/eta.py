"""The rest of a run: the schedule in simulated time, from the state the run is in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from sweep.schedule.graph import Task
from sweep.schedule.scheduler import State
from sweep.schedule.simulator import SimulatedRun, simulate

FINAL: frozenset[State] = frozenset({"done", "failed", "blocked", "stopped", "excluded"})


def remaining_run(
    tasks: Iterable[Task],
    states: Mapping[str, State],
    progress: Callable[[str], float],
    slots: int,
    seconds_of: Callable[[str], float | None],
    at_work: Mapping[str, int],
) -> SimulatedRun | None:
    """Simulate a run from now until all stages that can be done are done.

    Args:
        tasks: all stages.
        states: key -> state, of each.
        progress: key -> share done, 0 to 1, of a stage that runs or was preempted.
        slots: of the cluster.
        seconds_of: key -> seconds of the whole stage on one worker; None if unknown.
        at_work: key -> workers of each stage that has its slots: a stage may be "running" and still wait for them.

    Returns:
        The simulated run, or None while the seconds of some stage are unknown.
    """
    left: list[Task] = []
    running: dict[str, int] = {}
    tasks = [task for task in tasks if states[task.key] not in FINAL]
    present = {task.key for task in tasks}
    for task in tasks:
        seconds = seconds_of(task.key)
        if seconds is None:
            return None
        rest = seconds * (1 - min(1.0, max(0.0, progress(task.key))))
        left.append(replace(task, cost=rest, upstream=tuple(up for up in task.upstream if up in present)))
        if task.key in at_work:
            running[task.key] = at_work[task.key]
    slots = max(slots, sum(running.values()), 1)
    return simulate([task for task in left if task.min_workers <= slots], slots, running=running)
