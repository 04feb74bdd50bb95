"""The lock of a study: no two drivers run the same one.

On a file system this is a lock of the operating system, which releases it when its holder ends. An object store has no locks.
There the holder renews a lease, a file with its name; a lease that was not renewed for long belongs to a dead driver.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainables.errors import UserError
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import Study

RENEW_SECONDS = 15.0
"""Interval at which a lease is renewed."""
STALE_SECONDS = 90.0
"""A lease that is older has expired."""
SETTLE_SECONDS = 1.0
"""Wait after writing a lease: if two drivers write theirs at once, the later one holds the study."""


class HeldError(Exception):
    """Another driver holds the study. The message says which, and since when."""


@contextmanager
def study_lock(study: Study, lost: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock of a study while within.

    The lock of a driver that died is free at once on a file system, and on an object store if that driver ran on this
    machine. Otherwise its lease expires after ``STALE_SECONDS``.

    Args:
        study: to be held.
        lost: called by another thread with a message if another driver has taken the study over: on an object store, when
            this one could not renew its lease for longer than ``STALE_SECONDS``.

    Raises:
        HeldError: if another driver holds it.
        UserError: if the storage cannot be written to.
    """
    with _file_lock(study.storage) if study.storage.is_local else _lease(study.storage, lost):
        yield


@contextmanager
def _file_lock(storage: Storage) -> Iterator[None]:
    folder = Path(storage.location)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".driver.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _held(storage, _read(storage)) from error
    except OSError as error:
        raise _unwritable(storage, error) from error
    try:
        storage.write_json(layout.DRIVER, _own_name())
        yield
    finally:
        (folder / layout.DRIVER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _lease(storage: Storage, lost: Callable[[str], None]) -> Iterator[None]:
    own = {**_own_name(), "machine": _machine(), "born": _start_time(os.getpid()), "token": uuid.uuid4().hex}
    try:
        _refuse_if_held(storage)
        storage.write_json(layout.DRIVER, own)
        time.sleep(SETTLE_SECONDS)
        holder = _read(storage)
    except OSError as error:
        raise _unwritable(storage, error) from error
    if holder.get("token") != own["token"]:
        raise _held(storage, holder)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(storage, own, ended, lost), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join(RENEW_SECONDS)
        with suppress(OSError):  # the storage is gone: the lease expires
            if _read(storage).get("token") == own["token"]:
                storage.remove(layout.DRIVER)


def _renew(storage: Storage, own: dict[str, Any], ended: threading.Event, lost: Callable[[str], None]) -> None:
    while not ended.wait(RENEW_SECONDS):
        with suppress(OSError):  # the storage may come back, and the lease may still be this driver's
            holder = _read(storage)
            if holder.get("token", own["token"]) != own["token"]:
                lost(
                    f"the study {storage.path()} was taken over by another driver: {_described(holder)}. This one stops"
                )
                return
            storage.write_json(layout.DRIVER, own)


def _refuse_if_held(storage: Storage) -> None:
    """Raise HeldError if another driver's lease is valid. Its age is by the storage's clock: those of machines differ."""
    written = storage.modified(layout.DRIVER)
    holder = _read(storage)
    if written is None or _is_dead(holder):
        return
    probe = f".driver-{uuid.uuid4().hex}.probe"
    storage.write(probe, b"now")
    try:
        age = (storage.modified(probe) or written) - written
    finally:
        storage.remove(probe)
    if age < STALE_SECONDS:
        raise _held(
            storage,
            holder,
            f"It renewed its lease {max(0.0, age):.0f} s ago; if it is dead, the lease expires after "
            f"{STALE_SECONDS:.0f} s. ",
        )


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder is certainly dead: it ran on this machine, and its process is gone."""
    here = holder.get("machine") is not None and holder["machine"] == _machine()
    return here and holder.get("born") != _start_time(int(holder["process"]))


def _machine() -> str | None:
    """Identify the boot of this machine and its namespace of process ids; None if that is not known."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf-8').strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _start_time(process: int) -> str | None:
    """Return when a process started, to tell it from a later one with its id; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def _own_name() -> dict[str, Any]:
    return {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}


def _read(storage: Storage) -> dict[str, Any]:
    """Return the holder's name; {} where there is none, or none that can be read."""
    return storage.read_json_or_none(layout.DRIVER) or {}


def _held(storage: Storage, holder: dict[str, Any], more: str = "") -> HeldError:
    return HeldError(
        f"the study {storage.path()} is held by another driver: {_described(holder)}. {more}Wait for it, or stop it"
    )


def _described(holder: dict[str, Any]) -> str:
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['process']} on {holder['host']}, since {since}"
    except (KeyError, TypeError):
        return "unknown"


def _unwritable(storage: Storage, error: OSError) -> UserError:
    return UserError(f"cannot write to {storage.path()}: {error}. Give another --storage")
