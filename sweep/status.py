"""``python -m sweep.status STUDY``: the state of a study from its folder alone, while it runs and after."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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

ORDER: tuple[State, ...] = ("done", "running", "failed", "blocked", "ready", "waiting")

MOST_NAMES = 4
"""So many stages of a kind are named."""


@dataclass(frozen=True)
class StageState:
    """A stage of the plan and what is known of it."""

    kind: str
    name: str
    key: str | None
    state: State
    why: str = ""
    log: str = ""


def states_of(study: Study, plan: PlanFile, running: Mapping[str, Any]) -> list[StageState]:
    """Return the state of every stage of the plan."""
    progress = StudyProgress.of(study, plan)
    return [_state(stage, progress, running) for stage in plan.stages]


def _state(stage: PlannedStage, progress: StudyProgress, running: Mapping[str, Any]) -> StageState:
    of_stage = (stage.kind, stage.name, stage.key)
    if progress.state(stage) == "done":
        return StageState(*of_stage, "done")
    if (share := running.get(str(stage.key))) is not None:
        return StageState(*of_stage, "running", f"epoch {share['epoch']:.1f} of {share['epochs']}")
    kind, why = progress.why_not_done(stage)
    if kind == "failed":
        folder = progress.folder(stage.key)
        return StageState(*of_stage, "failed", why, folder.path(layout.LOG) if folder else "")
    if kind == "blocked":
        return StageState(*of_stage, "blocked", why)
    ready = all(progress.state(upstream) == "done" for upstream in progress.upstream(stage))
    return StageState(*of_stage, "ready" if ready else "waiting")


def show(study: Study, plan: PlanFile, states: Sequence[StageState], beat: RunStatus | None) -> Iterator[Any]:
    """Yield what is printed: counts, what runs, and failures grouped by their error."""
    yield Text(f"study {study.storage.path()}")
    counts = Counter((s.kind, s.state) for s in states)
    table = Table("kind", *ORDER, box=None)
    for kind in dict.fromkeys(s.kind for s in states):
        table.add_row(kind, *(str(counts[kind, state]) for state in ORDER))
    yield table
    if beat is None:
        yield Text("no driver is running it")
    else:
        yield Text(numbers(beat.snapshot))
        for one in beat.running.values():
            since = duration(time.time() - one["since"])
            yield Text(f"  {one['kind']} {one['name']}: epoch {one['epoch']:.1f} of {one['epochs']}, {since}")
    errors: dict[str, list[StageState]] = {}
    for state in states:
        if state.state == "failed":
            errors.setdefault(error_signature(state.why), []).append(state)
    for failed in errors.values():
        yield Text(f"{len(failed)} {failed[0].why}")
        yield Text(f"  stages: {_some(failed)}")
        yield Text(f"  log: {failed[0].log}")
        yield Text(f"  alone: {command(study, plan, short_key(failed[0].key))}")
    blocked: dict[str, list[StageState]] = {}
    for state in states:
        if state.state == "blocked":
            blocked.setdefault(state.why, []).append(state)
    for why, waiting in blocked.items():
        yield Text(f"{len(waiting)} {why}: {_some(waiting)}")


def _some(states: Sequence[StageState]) -> str:
    more = f" and {len(states) - MOST_NAMES} more" if len(states) > MOST_NAMES else ""
    return ", ".join(state.name for state in states[:MOST_NAMES]) + more


def command(study: Study, plan: PlanFile, key: str) -> str:
    """Return the command that runs one stage of a study alone: with the study's own grid, as it was resolved."""
    name = study.storage.name
    grid = study.storage.path(layout.GRID) if study.storage.is_local else plan.grid.removesuffix(".yaml")
    of_study = ["--study", name.removesuffix(SUFFIX), "--storage", study.storage.parent]
    places = [part for place, value in plan.places.items() if value for part in (f"--{place}", value)]
    rehearsal = ["--rehearse"] if name.endswith(SUFFIX) else []
    return shlex.join(["python", "-m", "sweep.run", "--grid", grid, *of_study, *places, *rehearsal, "--cell", key])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the state of a study; return the exit status: 0, 1 where stages failed, 2 where there is no study."""
    parser = argparse.ArgumentParser(prog="python -m sweep.status", description="The state of a study.")
    parser.add_argument("study", metavar="STUDY", help="folder or URI of the study, e.g. studies/smoke")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args(argv)
    terminal = Terminal()
    try:
        study = Study.open(arguments.study)
        plan = read_plan(study)
    except UserError as error:
        terminal.faults(error.faults)
        return 2
    beat = running_file.read(study)
    states = states_of(study, plan, beat.running if beat else {})
    if arguments.json:
        terminal.raw(
            json.dumps({"running": beat and asdict(beat), "stages": [asdict(state) for state in states]}, indent=1)
        )
    else:
        for line in show(study, plan, states, beat):
            terminal.show(line)
    return int(any(state.state == "failed" for state in states))


if __name__ == "__main__":
    sys.exit(main())
