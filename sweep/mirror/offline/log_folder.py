"""Where the client's offline logs lie: ``wandb/`` in the study folder, on an object store by way of a node's disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from sweep.mirror.offline.log_file import epochs_in
from trainables.store.storage import Storage

FOLDER = "wandb"
SYNCED = ".synced"
FLUSH_SECONDS = 2.0
"""The client writes the end of a log within a second after the run was finished."""
_PREFIX = "offline-run-"


def logs_of(local: Path, run: str = "*") -> list[Path]:
    """Return the logs of a run's offline attempts, or of all runs, the oldest first."""
    return sorted(local.glob(f"{FOLDER}/{_PREFIX}*-{run}/run-{run}.wandb"))


def run_of(log: Path) -> str:
    """Return the id of a log's run."""
    return log.stem.removeprefix("run-")


def is_synced(log: Path) -> bool:
    """Say whether the client has synced a log."""
    return log.with_name(log.name + SYNCED).exists()


def keep(storage: Storage, local: Path, run: str = "*") -> None:
    """Put what the client wrote on this node's disk into the study, where that is on an object store."""
    if storage.is_local:
        return
    logs = logs_of(local, run)
    deadline = time.monotonic() + FLUSH_SECONDS
    while logs and not epochs_in(logs)[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    for folder in local.glob(f"{FOLDER}/{_PREFIX}*-{run}"):
        for file in _kept(folder):
            storage.write(f"{FOLDER}/{folder.name}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def fetch(storage: Storage, local: Path, run: str | None = None) -> None:
    """Get the logs of a run, or of all, from an object store to this node's disk."""
    if storage.is_local:
        return
    for folder in storage.names(FOLDER):
        if not folder.startswith(_PREFIX) or (run is not None and not folder.endswith(f"-{run}")):
            continue
        for name in storage.child(f"{FOLDER}/{folder}").files():
            target = local / FOLDER / folder / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(storage.read(f"{FOLDER}/{folder}/{name}"))


def _kept(folder: Path) -> Iterator[Path]:
    """The log, the pictures, the marker of a sync; not the client's own diagnostics."""
    yield from (file for file in folder.glob("*.wandb*") if file.is_file())
    yield from (file for file in folder.glob("files/**/*") if file.is_file())
