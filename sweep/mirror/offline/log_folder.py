"""Where the client's offline logs are: ``wandb/`` in the study folder; for an object store, first on a node's disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sweep.mirror.offline.log_file import epochs_in
from trainables.store.storage import Storage

FOLDER = "wandb"
SYNCED_SUFFIX = ".synced"
FLUSH_SECONDS = 2.0
"""Longest wait for the end of a log: the client writes it within a second after the run is finished."""
_PREFIX = "offline-run-"


def logs_of(root: Path, run: str = "*") -> list[Path]:
    """Return the logs of a run's offline attempts, the oldest first.

    Args:
        root: folder that holds ``wandb/``.
        run: id of the run; by default all runs.
    """
    return sorted(root.glob(f"{FOLDER}/{_PREFIX}*-{run}/run-{run}.wandb"))


def run_of(log: Path) -> str:
    """Return the id of a log's run."""
    return log.stem.removeprefix("run-")


def is_synced(log: Path) -> bool:
    """Return whether the client has uploaded a log."""
    return log.with_name(log.name + SYNCED_SUFFIX).exists()


def upload(storage: Storage, root: Path, run: str = "*") -> None:
    """Copy logs from this node's disk to a study on an object store; nothing to do for any other study.

    Args:
        storage: of the study.
        root: folder on this node that holds ``wandb/``.
        run: id of the run; by default all runs.
    """
    if storage.is_local:
        return
    logs = logs_of(root, run)
    deadline = time.monotonic() + FLUSH_SECONDS
    while logs and not epochs_in(logs)[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    for folder in root.glob(f"{FOLDER}/{_PREFIX}*-{run}"):
        for file in _files(folder):
            storage.write(f"{FOLDER}/{folder.name}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def download(storage: Storage, root: Path, run: str | None = None) -> None:
    """Copy logs from a study on an object store to this node's disk; nothing to do for any other study.

    Args:
        storage: of the study.
        root: folder on this node.
        run: id of the run; None: all runs.
    """
    if storage.is_local:
        return
    for folder in storage.names(FOLDER):
        if not folder.startswith(_PREFIX) or (run is not None and not folder.endswith(f"-{run}")):
            continue
        for name in storage.child(f"{FOLDER}/{folder}").files():
            target = root / FOLDER / folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(storage.read(f"{FOLDER}/{folder}/{name}"))


def _files(folder: Path) -> Iterator[Path]:
    """The log, the images and the marker of a sync, without the client's own diagnostics."""
    yield from (file for file in folder.glob("*.wandb*") if file.is_file())
    yield from (file for file in folder.glob("files/**/*") if file.is_file())
