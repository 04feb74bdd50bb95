"""Bring a study to the server: upload offline logs with the client's own ``wandb sync``, log the rest from the study folder.

If rows of a run were sent to the server directly, no offline log of it is uploaded: its epochs would be there twice. Such a
run is resumed, and what is missing is logged from the study folder.
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
from sweep.mirror.offline.log_folder import download, is_synced, logs_of, run_of, upload
from sweep.mirror.run_fields import rows_of
from sweep.mirror.run_link import RunLink, read_link
from sweep.mirror.settings import MirrorSettings
from trainables.specs import Stage
from trainables.store.study import StageFolder, Study

PARALLEL_UPLOADS = 4


@dataclass(frozen=True)
class SyncResult:
    """What was brought to the server.

    Attributes:
        logs: offline logs uploaded.
        stages: finished stages logged from the study folder.
        failed: ``stage folder: class of the exception`` of each stage that is not complete on the server.
    """

    logs: int
    stages: int
    failed: tuple[str, ...]


def sync(study: Study, settings: MirrorSettings) -> SyncResult:
    """Bring everything of a study to the server that is not there.

    Args:
        study: the study.
        settings: where its runs go.

    Raises:
        OSError: if the study cannot be read or written.
    """
    with _log_root(study) as root:
        uploaded = _upload_logs(study, settings, root)
        upload(study.storage, root)  # the markers of uploaded logs
        completed, failed = _complete_stages(study, settings, root)
    return SyncResult(uploaded, completed, tuple(failed))


@contextmanager
def _log_root(study: Study) -> Iterator[Path]:
    if study.storage.is_local:
        yield Path(study.storage.location)
        return
    with tempfile.TemporaryDirectory(prefix="sweep-wandb-") as folder:
        download(study.storage, Path(folder))
        yield Path(folder)


def _upload_logs(study: Study, settings: MirrorSettings, root: Path) -> int:
    """Upload the logs of the runs of which the server has no row; return how many."""
    links = {link.run: (folder, link) for folder in study.folders() if (link := read_link(folder)) is not None}
    waiting: dict[str, list[Path]] = {}
    for log in logs_of(root):
        if run_of(log) in links and not links[run_of(log)][1].online and not is_synced(log):
            waiting.setdefault(run_of(log), []).append(log)
    for run in waiting:  # before the upload: one that is interrupted must not be repeated
        folder, link = links[run]
        replace(link, online=True).write(folder)
    uploaded = 0
    for attempt in range(max(map(len, waiting.values()), default=0)):  # attempts at a stage one after the other
        logs = [of_run[attempt] for of_run in waiting.values() if attempt < len(of_run)]
        _wandb_sync(settings, logs)
        uploaded += sum(map(is_synced, logs))
    for run, logs in waiting.items():
        if all(map(is_synced, logs)):
            folder, link = links[run]
            url = app_url(settings.entity or "", settings.project, "runs", run) if settings.entity else None
            replace(link, online=True, url=url, whole=_is_whole(folder, logs)).write(folder)
    return uploaded


def _is_whole(folder: StageFolder, logs: list[Path]) -> bool:
    """Whether logs hold all of a finished stage; a log on a full disk does not."""
    epochs, finished = epochs_in(logs)
    try:
        rows = rows_of(folder)
    except FileNotFoundError:
        rows = {}  # of a range test
    return finished and folder.result() is not None and epochs >= rows.keys()


def _wandb_sync(settings: MirrorSettings, logs: list[Path]) -> None:
    entity = ["--entity", settings.entity] if settings.entity else []
    command = [sys.executable, "-m", "wandb", "sync", "--yes"]
    command += ["-n", str(PARALLEL_UPLOADS), "--project", settings.project, *entity]
    environment = {**os.environ, "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    subprocess.run([*command, *(str(log.parent) for log in logs)], env=environment, capture_output=True)


def _complete_stages(study: Study, settings: MirrorSettings, root: Path) -> tuple[int, list[str]]:
    """Complete the runs of finished stages; return how many, and which failed."""
    completed, failed = 0, []
    for stage, folder, link in _finished_stages(study):
        if link is not None and link.whole and link.online:
            continue
        try:
            _complete(study, settings, stage, root)
            completed += 1
        except Exception as error:  # noqa: BLE001 - of one stage; the others are still to be completed
            failed.append(f"{folder.name}: {type(error).__name__}")
    return completed, failed


def _complete(study: Study, settings: MirrorSettings, stage: Stage, root: Path) -> None:
    """Resume the run of a finished stage online, and log what it lacks."""
    from sweep.mirror.run_session import RunSession

    RunSession(replace(settings, mode="online"), study, stage, str(root), lambda: None).end("done")


def _finished_stages(study: Study) -> Iterator[tuple[Stage, StageFolder, RunLink | None]]:
    states = study.states()
    for folder in study.folders():
        if states.get(folder.name.rpartition("-")[2]) == "done":
            try:
                stage = Stage.from_document(folder.stage())
            except (OSError, ValueError):
                continue  # of another version; analysis reports it
            yield stage, folder, read_link(folder)


def attach_each(study: Study, settings: MirrorSettings) -> int:
    """Attach runs to the study's sweep one by one.

    Args:
        study: the study.
        settings: where its runs are, and the id of the sweep.

    Returns:
        number of runs that were attached; those that belonged to the sweep already do not count.

    Raises:
        Exception: whatever the client raises.
    """
    attached = 0
    with _log_root(study) as root:
        for stage, _, link in _finished_stages(study):
            if link is not None and link.online and link.sweep != settings.sweep:
                _complete(study, settings, stage, root)
                attached += 1
    return attached


def online_runs(study: Study) -> dict[str, tuple[StageFolder, RunLink]]:
    """Return the runs that the server has, by id."""
    links = ((folder, read_link(folder)) for folder in study.folders())
    return {link.run: (folder, link) for folder, link in links if link is not None and link.online}
