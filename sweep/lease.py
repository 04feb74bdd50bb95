"""Who holds a study: no two drivers run the same one."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from trainables.errors import UserError
from trainables.study import Study

HOLDER = ".driver.json"


class HeldError(Exception):
    """Another driver holds the study: who, and since when."""


@contextmanager
def lease(study: Study) -> Iterator[None]:
    """Hold a study while within. The lock of a driver that died is free at once: the system releases it.

    On an object store there is no such lock; there the first committed result of a stage stands.

    Raises:
        HeldError: if another driver holds it.
    """
    if not study.storage.is_local:
        yield
        return
    folder = Path(study.storage.location)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".driver.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise HeldError(
            f"the study {folder} is held by another driver: {_holder(folder)}. Wait for it, or stop it"
        ) from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error}. Give --storage a place that can") from error
    try:
        study.storage.write_json(HOLDER, {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()})
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['process']} on {holder['host']}, since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
