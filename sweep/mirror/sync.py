"""Bringing to the server what is not there: offline logs by the client's own sync, the rest from the study folder.

A run of which the server was told directly is never synced from a log as well: its epochs would be there twice.
It is gone through again from the study folder, and told what it lacks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sweep.mirror.connection import app_url
from sweep.mirror.offline.log_file import epochs_in
from sweep.mirror.offline.log_folder import fetch, is_synced, keep, logs_of, run_of
from sweep.mirror.run_fields import rows_of
from sweep.mirror.run_link import RunLink, read_link
from sweep.mirror.settings import MirrorSettings
from trainables.specs import Stage
from trainables.store.study import StageFolder, Study

AT_ONCE = 4
"""Logs that the client uploads side by side."""


@dataclass(frozen=True)
class SyncResult:
    """What was brought to the server.

    Attributes:
        logs: offline logs.
        stages: finished stages told from the study folder.
        failed: names of stages that are not whole there, and why.
    """

    logs: int
    stages: int
    failed: tuple[str, ...]


def sync(study: Study, settings: MirrorSettings) -> SyncResult:
    """Bring all of a study to the server.

    Raises:
        OSError: if the study cannot be read or written.
    """
    with _local(study) as local:
        uploaded = _upload(study, settings, local)
        keep(study.storage, local)
        told, failed = _tell(study, settings, local)
    return SyncResult(uploaded, told, tuple(failed))


@contextmanager
def _local(study: Study) -> Iterator[Path]:
    if study.storage.is_local:
        yield Path(study.storage.location)
        return
    with tempfile.TemporaryDirectory(prefix="sweep-wandb-") as folder:
        fetch(study.storage, Path(folder))
        yield Path(folder)


def _upload(study: Study, settings: MirrorSettings, local: Path) -> int:
    """Upload the logs of the runs that the server was told nothing of; return how many."""
    links = {link.run: (folder, link) for folder in study.folders() if (link := read_link(folder)) is not None}
    waiting: dict[str, list[Path]] = {}
    for log in logs_of(local):
        if run_of(log) in links and not links[run_of(log)][1].online and not is_synced(log):
            waiting.setdefault(run_of(log), []).append(log)
    for run in waiting:  # first, for an upload that is cut short must not be made again
        folder, link = links[run]
        replace(link, online=True).write(folder)
    uploaded = 0
    for place in range(max(map(len, waiting.values()), default=0)):  # attempts at a stage one after the other
        logs = [of_run[place] for of_run in waiting.values() if place < len(of_run)]
        _client_sync(settings, logs)
        uploaded += sum(map(is_synced, logs))
    for run, logs in waiting.items():
        if all(map(is_synced, logs)):
            folder, link = links[run]
            url = app_url(settings.entity or "", settings.project, "runs", run) if settings.entity else None
            replace(link, online=True, url=url, whole=_is_whole(folder, logs)).write(folder)
    return uploaded


def _is_whole(folder: StageFolder, logs: list[Path]) -> bool:
    """Whether logs hold all of a finished stage: one on a full disk does not."""
    epochs, ended = epochs_in(logs)
    try:
        rows = rows_of(folder)
    except FileNotFoundError:
        rows = {}  # of a range test
    return ended and folder.result() is not None and epochs >= rows.keys()


def _client_sync(settings: MirrorSettings, logs: list[Path]) -> None:
    entity = ["--entity", settings.entity] if settings.entity else []
    command = [sys.executable, "-m", "wandb", "sync", "--yes", "-n", str(AT_ONCE), "--project", settings.project]
    environment = {**os.environ, "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    subprocess.run([*command, *entity, *(str(log.parent) for log in logs)], env=environment, capture_output=True)


def _tell(study: Study, settings: MirrorSettings, local: Path) -> tuple[int, list[str]]:
    """Tell of the finished stages that are not whole at the server; return how many, and what failed."""
    told, failed = 0, []
    for stage, folder, link in _finished(study):
        if link is not None and link.whole and link.online:
            continue
        try:
            tell(study, settings, stage, local)
            told += 1
        except Exception as error:  # noqa: BLE001 - of one stage; the others are still to be told
            failed.append(f"{folder.name}: {type(error).__name__}")
    return told, failed


def tell(study: Study, settings: MirrorSettings, stage: Stage, local: Path) -> None:
    """Go through the run of a finished stage, online, and tell what it lacks.

    Raises:
        Exception: whatever the client raises.
    """
    from sweep.mirror.run_session import RunSession

    RunSession(settings, "online", study, stage, str(local), lambda: None).end("done")


def _finished(study: Study) -> Iterator[tuple[Stage, StageFolder, RunLink | None]]:
    states = study.states()
    for folder in study.folders():
        if states.get(folder.name.rpartition("-")[2]) == "done":
            try:
                stage = Stage.from_document(folder.stage())
            except (OSError, ValueError):
                continue  # of another version: analysis says so
            yield stage, folder, read_link(folder)


def attach_each(study: Study, settings: MirrorSettings) -> int:
    """Attach the runs that do not belong to the study's sweep yet, one by one; return how many."""
    attached = 0
    with _local(study) as local:
        for stage, _, link in _finished(study):
            if link is not None and link.online and link.sweep != settings.sweep:
                tell(study, settings, stage, local)
                attached += 1
    return attached


def runs_of(study: Study) -> dict[str, tuple[StageFolder, RunLink]]:
    """Return the runs that the server knows, by id."""
    links = ((folder, read_link(folder)) for folder in study.folders())
    return {link.run: (folder, link) for folder, link in links if link is not None and link.online}
