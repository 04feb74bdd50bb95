"""What a run prints before its first stage and after its last."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sweep.commands.preparation import PreparedStudy
from sweep.grid.editions import edition_note
from sweep.monitor.console import Terminal
from trainables.hashing import short_key
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import Study

if TYPE_CHECKING:
    from analysis.page.build import Report
    from analysis.results.collect import LeftOut


def same_command() -> str:
    """Return the command line of this run, to be given again."""
    return shlex.join(["python", "-m", "sweep.run", *sys.argv[1:]])


def print_summary(terminal: Terminal, prepared: PreparedStudy, done: int) -> None:
    """Print which study runs, how many stages it has, and what is unusual about it.

    Args:
        terminal: where to print it.
        prepared: the study and its plan.
        done: number of stages that are done.
    """
    plan, study, problems = prepared.plan, prepared.study, prepared.inputs.problems
    kinds = ", ".join(f"{count} {kind}" for kind, count in plan.counts().items())
    terminal.say(f"study {study.storage.path()}, {edition_note(plan.grid.file.edition)}")
    terminal.say(f"{len(plan.stages)} stages ({kinds}; {plan.unshared} without sharing), {done} done before")
    if problems:
        terminal.say(f"{len(problems)} problems in the data: {study.storage.path(layout.DATA_PROBLEMS)}")
    planned = {stage.folder for stage in plan.stages}
    others = [folder.name for folder in study.folders() if folder.name not in planned]
    if others:
        terminal.say(f"{len(others)} stages belong to an earlier grid and are left alone, e.g. {others[0]}")
    if done == len(plan.stages):
        terminal.say(f"nothing to do: all {done} stages are done")


def print_failures(terminal: Terminal, study: Study, errors: Iterable[tuple[str, Sequence[Stage]]]) -> None:
    """Print which stages failed for good, and how to run one of each kind of error alone.

    Args:
        terminal: where to print it.
        study: holds their logs.
        errors: an error, and the stages that failed with one like it.
    """
    for error, stages in errors:
        terminal.say(f"{len(stages)} failed with {error}")
        terminal.say(f"  log: {study.folder(stages[0]).path(layout.LOG)}")
        terminal.say(f"  alone: {same_command()} --cell {short_key(stages[0].key)}")


def print_not_started(terminal: Terminal, stages: Sequence[Stage], reasons: Mapping[str, str]) -> None:
    """Print how many stages a limit of the run kept from starting, with the reason of the first.

    Args:
        terminal: where to print it.
        stages: of the plan.
        reasons: key of each stage that was not started -> which limit, and why.
    """
    names = {str(stage.key): stage.name for stage in stages}
    for key, reason in list(reasons.items())[:1]:
        terminal.say(f"not started, for the limits: {len(reasons)} stages, e.g. {names[key]}: {reason}")


def print_refused(terminal: Terminal, report: Report) -> list[LeftOut]:
    """Print which results a report refuses, and why: torn, changed, stale, or of damaged files.

    Args:
        terminal: where to print it.
        report: of the study.

    Returns:
        The refused results.
    """
    refused = [left_out for left_out in report.left_out if left_out.state == "refused"]
    for left_out in refused:
        terminal.say(f"does not count: {left_out.name}: {left_out.reason}")
    return refused


def print_report(terminal: Terminal, report: Report) -> bool:
    """Print the table of scores and where the report is.

    Args:
        terminal: where to print it.
        report: of the study.

    Returns:
        Whether the report refuses a result.
    """
    from analysis.formats.markdown import plain_text

    terminal.say(plain_text(report.scores))
    refused = print_refused(terminal, report)
    terminal.say(f"report: {report.index_path}")
    return bool(refused)
