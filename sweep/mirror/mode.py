"""What ``--wandb`` comes to: online, offline or off, and why."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sweep.mirror.client import forget
from sweep.mirror.connection import app_url, ask
from sweep.mirror.run_link import read_study_link, write_study_link
from sweep.mirror.settings import MirrorSettings, Mode
from sweep.mirror.sweeps import create_sweep
from trainables.errors import UserError
from trainables.store.study import Study

Wanted = Literal["auto", "online", "offline", "off"]
PROJECT = "scenario-sweep"
SWEEP_SECONDS = 20.0
STAGGER_SECONDS_EACH = 0.2
LONGEST_STAGGER = 30.0


@dataclass(frozen=True)
class MirrorOptions:
    """What the command line asks of the mirror."""

    wanted: Wanted = "auto"
    project: str | None = None
    entity: str | None = None
    images: bool = False


def decide(choice: MirrorOptions, study: Study, say: Callable[[str], None]) -> MirrorSettings | None:
    """Return the settings of the mirror, or None where it is off; say which, and why.

    The study's W&B sweep is created where it has none. No server holds this up for longer than seconds.

    Raises:
        UserError: if W&B is asked for by name and there is no key that it takes.
    """
    if choice.wanted == "off":
        return None
    known = read_study_link(study.storage)
    project = choice.project or known.get("project") or os.environ.get("WANDB_PROJECT") or PROJECT
    entity = choice.entity or known.get("entity") or os.environ.get("WANDB_ENTITY") or None
    mode, entity, said = _mode(choice.wanted, entity)
    say(f"W&B: {said}")
    if mode is None:
        return None
    header = study.header or {}
    sweep = _move(study, project, entity)
    if mode == "online" and entity is not None:
        sweep = sweep or _new_sweep(study, project, entity)
        say(f"W&B: {app_url(entity, project, *(['sweeps', sweep] if sweep else []))}")
        if sweep is None:
            say(f"W&B: no sweep could be created now; later: python -m sweep.wandb attach {study.storage.path()}")
    return MirrorSettings(mode, project, entity, sweep, header["name"], header["uid"], choice.images)


def stagger_seconds(settings: MirrorSettings, slots: int) -> float:
    """Return over how long the first contacts of so many processes are spread: servers limit their rate."""
    return min(LONGEST_STAGGER, STAGGER_SECONDS_EACH * (slots - 1)) if settings.mode == "online" else 0.0


def _mode(wanted: Wanted, entity: str | None) -> tuple[Mode | None, str | None, str]:
    by_variable = os.environ.get("WANDB_MODE") if wanted == "auto" else None
    if by_variable == "disabled":
        return None, entity, "off (WANDB_MODE=disabled)"
    later = "`python -m sweep.wandb sync STUDY` uploads the runs"
    if wanted == "offline" or by_variable in ("offline", "dryrun"):
        return "offline", entity, f"offline; {later}"
    answer = ask()
    if not answer.why:
        return "online", entity or answer.entity, "online"
    if wanted == "auto":
        return None, entity, f"off: {answer.why}"
    if not answer.key:
        raise UserError(f"--wandb online: {answer.why}. Log in, or leave --wandb out: then W&B is used where it can be")
    return "offline", entity, f"offline, for {answer.why}; {later}"


def _move(study: Study, project: str, entity: str | None) -> str | None:
    """Write down where the study's runs go; return its sweep, unless that is of another project."""
    known = read_study_link(study.storage)
    place = {"project": project, "entity": entity or known.get("entity")}
    moved = any(known.get(name) not in (None, there) for name, there in place.items())
    gone = dict.fromkeys(set(known) - set(place)) if moved else {}
    if gone or place.items() - known.items():
        with suppress(OSError):
            write_study_link(study.storage, **place, **gone)
    return None if moved else known.get("sweep")


def _new_sweep(study: Study, project: str, entity: str) -> str | None:
    """Create the sweep in a thread of its own: the client tries again and again where a server is unwell."""
    found: list[str] = []

    def create() -> None:
        with suppress(Exception):  # the mirror fails nothing; the caller says that there is none
            found.append(create_sweep(study, project, entity))

    thread = threading.Thread(target=create, name="wandb sweep", daemon=True)
    thread.start()
    thread.join(SWEEP_SECONDS)
    if not found:
        return None
    forget()  # the driver needs the client for nothing else, and its trial processes not this one
    return found[0]
