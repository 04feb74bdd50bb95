"""``python -m sweep.status STUDY``: the state of a study from its folder alone, while it runs and after."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis.results.plan_file import PlanFile, PlannedStage, read_plan
from analysis.results.progress import StudyProgress
from sweep.grid.rehearsal import SUFFIX
from sweep.monitor import running_file
from sweep.monitor.console import Terminal
from sweep.monitor.duration import duration
from sweep.monitor.live_view import numbers
from sweep.monitor.running_file import RunStatus
from sweep.schedule.retry_policy import error_signature
from sweep.schedule.scheduler import State
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.study import Study
from trainables.streams import steady_streams

ORDER: tuple[State, ...] = ("done", "running", "failed", "blocked", "ready", "waiting")

MAX_NAMES = 4
"""Stages of one error or blocker that are named."""


@dataclass(frozen=True)
class StageState:
    """A stage of the plan and its state.

    Attributes:
        kind: of the stage.
        name: of the stage.
        key: of the stage; None: an input was missing when it was planned.
        state: of the stage.
        why: the reason in words, if it failed, is blocked or runs.
        log: path of its log, if it failed.
    """

    kind: str
    name: str
    key: str | None
    state: State
    why: str = ""
    log: str = ""


def states_of(study: Study, plan: PlanFile, running: Mapping[str, Any]) -> list[StageState]:
    """Return the state of every stage of a plan.

    Args:
        study: the study.
        plan: its plan.
        running: key of each stage that runs -> its epoch and number of epochs.
    """
    progress = StudyProgress.of(study, plan)
    return [_state(stage, progress, running) for stage in plan.stages]


def _state(stage: PlannedStage, progress: StudyProgress, running: Mapping[str, Any]) -> StageState:
    of_stage = (stage.kind, stage.name, stage.key)
    if progress.state(stage) == "done":
        return StageState(*of_stage, "done")
    if (at := running.get(str(stage.key))) is not None:
        return StageState(*of_stage, "running", f"epoch {at['epoch']:.1f} of {at['epochs']}")
    state, why = progress.why_not_done(stage)
    if state == "failed":
        folder = progress.folder(stage.key)
        return StageState(*of_stage, "failed", why, folder.path(layout.LOG) if folder else "")
    if state == "blocked":
        return StageState(*of_stage, "blocked", why)
    is_ready = all(progress.state(upstream) == "done" for upstream in progress.upstream(stage))
    return StageState(*of_stage, "ready" if is_ready else "waiting")


def show(study: Study, plan: PlanFile, states: Sequence[StageState], run: RunStatus | None) -> Iterator[RenderableType]:
    """Yield what is printed: counts, the stages that run, failures by error, and blocked stages by blocker.

    Args:
        study: the study.
        plan: its plan.
        states: of all stages.
        run: what its driver last wrote; None: no driver runs it.
    """
    yield Text(f"study {study.storage.path()}")
    yield _counts(states)
    if run is None:
        yield Text("no driver is running it")
    else:
        yield Text(numbers(run.snapshot))
        for stage in run.running.values():
            elapsed = duration(time.time() - stage["since"])
            yield Text(f"  {stage['kind']} {stage['name']}: epoch {stage['epoch']:.1f} of {stage['epochs']}, {elapsed}")
    for failed in _grouped((error_signature(state.why), state) for state in states if state.state == "failed"):
        yield Text(f"{len(failed)} {failed[0].why}")
        yield Text(f"  stages: {_names(failed)}")
        yield Text(f"  log: {failed[0].log}")
        yield Text(f"  alone: {command(study, plan, short_key(failed[0].key))}")
    for blocked in _grouped((state.why, state) for state in states if state.state == "blocked"):
        yield Text(f"{len(blocked)} {blocked[0].why}: {_names(blocked)}")


def _counts(states: Sequence[StageState]) -> Table:
    counts = Counter((state.kind, state.state) for state in states)
    table = Table("kind", *ORDER, box=None)
    for kind in dict.fromkeys(state.kind for state in states):
        table.add_row(kind, *(str(counts[kind, state]) for state in ORDER))
    return table


def _grouped(states: Iterable[tuple[str, StageState]]) -> Iterable[list[StageState]]:
    """Return the states that have the same name before them, in the order of their first."""
    groups: dict[str, list[StageState]] = {}
    for name, state in states:
        groups.setdefault(name, []).append(state)
    return groups.values()


def _names(states: Sequence[StageState]) -> str:
    more = f" and {len(states) - MAX_NAMES} more" if len(states) > MAX_NAMES else ""
    return ", ".join(state.name for state in states[:MAX_NAMES]) + more


def command(study: Study, plan: PlanFile, key: str) -> str:
    """Return the command that runs one stage of a study alone, with the study's own resolved grid.

    Args:
        study: the study.
        plan: its plan.
        key: of the stage, or its beginning.
    """
    name = study.storage.name
    grid = study.storage.path(layout.GRID) if study.storage.is_local else plan.grid.removesuffix(".yaml")
    of_study = ["--study", name.removesuffix(SUFFIX), "--storage", study.storage.parent]
    places = [part for place, value in plan.places.items() if value for part in (f"--{place}", value)]
    rehearsal = ["--rehearse"] if name.endswith(SUFFIX) else []
    return shlex.join(["python", "-m", "sweep.run", "--grid", grid, *of_study, *places, *rehearsal, "--cell", key])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of a study.

    Args:
        argv: arguments of the command; None: those of this process.

    Returns:
        The exit status: 0, 1 if stages failed, 2 if there is no such study.
    """
    parser = argparse.ArgumentParser(prog="python -m sweep.status", description="The state of a study.")
    parser.add_argument("study", metavar="STUDY", help="folder or URI of the study, e.g. studies/smoke")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(argv)
    terminal = Terminal()
    try:
        study = Study.open(given.study)
        plan = read_plan(study)
    except UserError as error:
        terminal.faults(error.faults)
        return 2
    run = running_file.read(study)
    states = states_of(study, plan, run.running if run else {})
    if given.json:
        document = {"running": run and asdict(run), "stages": [asdict(state) for state in states]}
        terminal.raw(json.dumps(document, indent=1))
    else:
        for line in show(study, plan, states, run):
            terminal.show(line)
    return int(any(state.state == "failed" for state in states))


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())
