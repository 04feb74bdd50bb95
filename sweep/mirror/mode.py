"""What ``--wandb`` resolves to: online, offline or off, and why."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sweep.mirror.client import shut_down
from sweep.mirror.connection import app_url, ask_server
from sweep.mirror.run_link import read_study_link, write_study_link
from sweep.mirror.settings import MirrorSettings, Mode, refuse_bad_names
from sweep.mirror.sweeps import create_sweep
from trainables.errors import UserError
from trainables.store.study import Study

Wanted = Literal["auto", "online", "offline", "off"]
PROJECT = "scenario-sweep"
CREATE_SECONDS = 20.0
"""Longest wait for the study's W&B sweep to be created."""
STAGGER_SECONDS_EACH = 0.2
MAX_STAGGER_SECONDS = 30.0


@dataclass(frozen=True)
class MirrorOptions:
    """The options of the command line about W&B.

    Attributes:
        wanted: ``--wandb``.
        project: ``--wandb-project``; None: that of an earlier run, of ``WANDB_PROJECT``, or the default.
        entity: ``--wandb-entity``; None: that of an earlier run, of ``WANDB_ENTITY``, or of the key.
        images: ``--wandb-images``: whether images of the data may be uploaded.
    """

    wanted: Wanted = "auto"
    project: str | None = None
    entity: str | None = None
    images: bool = False


def decide(options: MirrorOptions, study: Study, echo: Callable[[str], None]) -> MirrorSettings | None:
    """Return the settings of the mirror, or None if it is off, and print which and why.

    Online, the study's W&B sweep is created if there is none. A server that does not answer delays this by seconds.

    Args:
        options: of the command line.
        study: the study; where its runs go is written to its ``wandb.json``.
        echo: prints a line.

    Raises:
        UserError: if ``online`` is requested and there is no key, or W&B could not take a name.
    """
    if options.wanted == "off":
        return None
    project, entity = _place(options, study)
    mode, entity, description = _mode(options.wanted, entity)
    echo(f"W&B: {description}")
    if mode is None:
        return None
    refuse_bad_names(project, entity)
    header = study.header or {}
    sweep = _remember(study, project, entity)
    if mode == "online" and entity is not None:
        sweep = sweep or _new_sweep(study, project, entity)
        echo(f"W&B: {app_url(entity, project, *(['sweeps', sweep] if sweep else []))}")
        if sweep is None:
            echo(f"W&B: no sweep could be created now; later: python -m sweep.wandb attach {study.storage.path()}")
    return MirrorSettings(mode, project, entity, sweep, header["name"], header["uid"], options.images)


def refuse_bad_place(options: MirrorOptions, study: Study) -> None:
    """Refuse names that W&B does not take, before anything is written, where W&B is asked for.

    Without ``--wandb`` it may not be used at all, and variables of other programs refuse no run: see ``decide``.

    Args:
        options: of the command line.
        study: its ``wandb.json`` may name the place.

    Raises:
        UserError: with every fault.
    """
    if options.wanted in ("online", "offline"):
        refuse_bad_names(*_place(options, study))


def _place(options: MirrorOptions, study: Study) -> tuple[str, str | None]:
    """Project and entity: as given, as the study was run before, or by the environment."""
    known = read_study_link(study.storage)
    project = options.project or known.get("project") or os.environ.get("WANDB_PROJECT") or PROJECT
    return project, options.entity or known.get("entity") or os.environ.get("WANDB_ENTITY") or None


def stagger_seconds(settings: MirrorSettings, slots: int) -> float:
    """Return over how many seconds trial processes spread their first contacts, because servers limit the rate.

    Args:
        settings: of the mirror.
        slots: number of trial processes.
    """
    return min(MAX_STAGGER_SECONDS, STAGGER_SECONDS_EACH * (slots - 1)) if settings.mode == "online" else 0.0


def _mode(wanted: Wanted, entity: str | None) -> tuple[Mode | None, str | None, str]:
    """Mode (None: off), entity, and a description for people."""
    by_variable = os.environ.get("WANDB_MODE") if wanted == "auto" else None
    if by_variable == "disabled":
        return None, entity, "off (WANDB_MODE=disabled)"
    later = "`python -m sweep.wandb sync STUDY` uploads the runs"
    if wanted == "offline" or by_variable in ("offline", "dryrun"):
        return "offline", entity, f"offline; {later}"
    reply = ask_server()
    if not reply.why:
        return "online", entity or reply.entity, "online"
    if wanted == "auto":
        return None, entity, f"off: {reply.why}"
    if not reply.key:
        raise UserError(
            f"--wandb online: {reply.why}. Log in, or leave --wandb out: then W&B is used only if it can be"
        )
    return "offline", entity, f"offline, because {reply.why}; {later}"


def _remember(study: Study, project: str, entity: str | None) -> str | None:
    """Write to the study where its runs go; return the id of its sweep, or None if that belongs to another project."""
    known = read_study_link(study.storage)
    place = {"project": project, "entity": entity or known.get("entity")}
    moved = any(known.get(name) not in (None, value) for name, value in place.items())
    removed = dict.fromkeys(set(known) - set(place)) if moved else {}
    if removed or place.items() - known.items():
        with suppress(OSError):
            write_study_link(study.storage, **place, **removed)
    return None if moved else known.get("sweep")


def _new_sweep(study: Study, project: str, entity: str) -> str | None:
    """Create the sweep in a thread, because the client retries for long if the server fails; None if it takes too long."""
    created: list[str] = []

    def create() -> None:
        with suppress(Exception):  # the mirror never fails a run; the caller prints that there is no sweep
            created.append(create_sweep(study, project, entity))

    thread = threading.Thread(target=create, name="wandb sweep", daemon=True)
    thread.start()
    thread.join(CREATE_SECONDS)
    if not created:
        return None
    shut_down()  # the driver needs the client for nothing else, and its trial processes must not share it
    return created[0]
