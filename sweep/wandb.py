"""``python -m sweep.wandb sync|attach|view|report STUDY``: a study's place in Weights & Biases, afterwards."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.monitor.console import Terminal
from trainables.errors import UserError
from trainables.streams import steady_streams

if TYPE_CHECKING:
    from sweep.mirror.settings import MirrorSettings
    from trainables.store.study import Study

DONE, NOT_ALL, BAD_INPUT = 0, 1, 2
"""Exit status: part of the command's contract."""


@dataclass(frozen=True)
class WandbOptions:
    """The options of the command.

    Attributes:
        study: folder or URI.
        project: of W&B; None: the one that the study was run with.
        entity: user or team of W&B; None: the owner of the key.
        images: whether images of the data may leave this machine.
    """

    study: str
    project: str | None
    entity: str | None
    images: bool


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m sweep.wandb",
        description="Bring a study to Weights & Biases, or what is not there of it.",
        epilog="exit status: 0 all done · 1 something is missing there, the same command resumes · 2 bad input",
    )
    verbs = p.add_subparsers(dest="verb", required=True, metavar="sync|attach|view|report")
    for name, text in (
        ("sync", "upload offline runs, and what the server lacks of finished stages"),
        ("attach", "make the study a W&B sweep, and attach its runs"),
        ("view", "save a view of the workspace: parallel coordinates, importance, curves"),
        ("report", "save a W&B report with the study's tables"),
    ):
        command = verbs.add_parser(name, help=text, description=text)
        command.add_argument("study", metavar="STUDY", help="folder or URI of the study, e.g. studies/smoke")
        command.add_argument("--wandb-project", metavar="NAME", help="default: the one that the study was run with")
        command.add_argument("--wandb-entity", metavar="NAME", help="user or team; default: the owner of the key")
        if name == "sync":
            command.add_argument(
                "--wandb-images", action="store_true", help="allow images of the data to leave this machine"
            )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None: those of this process.

    Returns:
        The exit status.
    """
    given = parser().parse_args(argv)
    images = given.verb == "sync" and given.wandb_images
    options = WandbOptions(given.study, given.wandb_project, given.wandb_entity, images)
    terminal = Terminal()
    from trainables.store.study import Study

    try:
        study = Study.open(options.study)
        run = {"sync": _sync, "attach": _attach, "view": _view, "report": _report}[given.verb]
        return run(study, _settings(study, options), terminal)
    except UserError as error:
        terminal.faults(error.faults)
        return BAD_INPUT
    except Exception as error:  # noqa: BLE001 - of the client; its message may hold anything, even the key
        terminal.faults([f"W&B: {type(error).__name__} during {given.verb}. Try again: what was uploaded is kept"])
        return NOT_ALL


def _settings(study: Study, options: WandbOptions) -> MirrorSettings:
    """Return the place of the study in W&B: by the options, as it was run, or by the environment.

    Raises:
        UserError: if W&B cannot be used.
    """
    from sweep.mirror.connection import ask_server
    from sweep.mirror.mode import PROJECT
    from sweep.mirror.run_link import read_study_link
    from sweep.mirror.settings import MirrorSettings, refuse_bad_names

    answer = ask_server()
    if answer.why:
        raise UserError(f"W&B cannot be used: {answer.why}")
    known = read_study_link(study.storage)
    project = options.project or known.get("project") or os.environ.get("WANDB_PROJECT") or PROJECT
    entity = options.entity or known.get("entity") or os.environ.get("WANDB_ENTITY") or answer.entity
    refuse_bad_names(project, entity)
    header = study.header or {}
    return MirrorSettings("online", project, entity, known.get("sweep"), header["name"], header["uid"], options.images)


def _sync(study: Study, settings: MirrorSettings, terminal: Terminal) -> int:
    from sweep.mirror.sync import sync

    done = sync(study, settings)
    terminal.say(f"{done.logs} offline logs uploaded, {done.stages} finished stages uploaded from the study folder")
    terminal.faults(f"not uploaded yet: {name}" for name in done.failed)
    if not settings.sweep:
        terminal.say(f"its sweep: python -m sweep.wandb attach {study.storage.path()}")
    return NOT_ALL if done.failed else DONE


def _attach(study: Study, settings: MirrorSettings, terminal: Terminal) -> int:
    from sweep.mirror.attach import attach
    from sweep.mirror.connection import app_url

    sweep, count = attach(study, settings)
    terminal.say(f"{count} runs attached: {app_url(str(settings.entity), settings.project, 'sweeps', sweep)}")
    return DONE


def _view(study: Study, settings: MirrorSettings, terminal: Terminal) -> int:
    from sweep.mirror.workspace import save_view

    terminal.say(f"view: {save_view(study, settings)}")
    return DONE


def _report(study: Study, settings: MirrorSettings, terminal: Terminal) -> int:
    from analysis.formats.markdown import markdown
    from analysis.page.build import build
    from sweep.mirror.workspace import save_report

    report = build(study)
    tables = [markdown(report.scores), markdown(report.per_class)]
    terminal.say(f"report: {save_report(study, settings, tables)}")
    return DONE


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())
