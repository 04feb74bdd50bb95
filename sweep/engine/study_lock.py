"""Who holds a study: no two drivers run the same one.

On a disk the system keeps the lock, and frees it with its holder. An object store knows no locks: there the holder's
name is a file that it writes again and again, and one that was not written for long is of a dead driver.
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

BEAT_SECONDS = 15.0
STALE_SECONDS = 90.0
"""A holder on an object store that has not written for so long is dead."""
SETTLE_SECONDS = 1.0
"""Of two that take an object store's study at once, both have written by then: the later one has it."""


class HeldError(Exception):
    """Another driver holds the study: who, and since when."""


@contextmanager
def study_lock(study: Study, lost: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold a study while within.

    The lock of a driver that died is free at once: on a disk the system releases it; on an object store, where that
    driver ran on this machine. Where it ran elsewhere, its lease ends after ``STALE_SECONDS``.

    Args:
        study: what is held.
        lost: told, by another thread, that another driver has taken the study over (object stores only: this one was
            away from the storage for longer than ``STALE_SECONDS``).

    Raises:
        HeldError: if another driver holds it.
        UserError: if the storage cannot be written.
    """
    with _by_beats(study.storage, lost) if not study.storage.is_local else _by_lock(study.storage):
        yield


@contextmanager
def _by_lock(storage: Storage) -> Iterator[None]:
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
        storage.write_json(layout.DRIVER, _me())
        yield
    finally:
        (folder / layout.DRIVER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _by_beats(storage: Storage, lost: Callable[[str], None]) -> Iterator[None]:
    me = {**_me(), "machine": _machine(), "born": _born(os.getpid()), "token": uuid.uuid4().hex}
    try:
        _refuse_if_held(storage)
        storage.write_json(layout.DRIVER, me)
        time.sleep(SETTLE_SECONDS)
        holder = _read(storage)
    except OSError as error:
        raise _unwritable(storage, error) from error
    if holder.get("token") != me["token"]:
        raise _held(storage, holder)
    left = threading.Event()
    beats = threading.Thread(target=_beat, args=(storage, me, left, lost), daemon=True)
    beats.start()
    try:
        yield
    finally:
        left.set()
        beats.join(BEAT_SECONDS)
        with suppress(OSError):  # a storage that is gone: the lease ends by itself
            if _read(storage).get("token") == me["token"]:
                storage.remove(layout.DRIVER)


def _beat(storage: Storage, me: dict[str, Any], left: threading.Event, lost: Callable[[str], None]) -> None:
    while not left.wait(BEAT_SECONDS):
        with suppress(OSError):  # the storage may come back, and the lease may still be this driver's
            holder = _read(storage)
            if holder.get("token", me["token"]) != me["token"]:
                lost(f"the study {storage.path()} was taken over by another driver: {_name(holder)}. This one stops")
                return
            storage.write_json(layout.DRIVER, me)


def _refuse_if_held(storage: Storage) -> None:
    """Raise HeldError where another driver lives. Both times are the storage's: clocks of machines differ."""
    written = storage.modified(layout.DRIVER)
    holder = _read(storage)
    if written is None or _is_dead(holder):
        return
    probe = f".driver-{uuid.uuid4().hex}.probe"
    storage.write(probe, b"now")
    try:
        silent = (storage.modified(probe) or written) - written
    finally:
        storage.remove(probe)
    if silent < STALE_SECONDS:
        raise _held(
            storage,
            holder,
            f"It was heard of {max(0.0, silent):.0f} s ago; were it dead, the study would be free after "
            f"{STALE_SECONDS:.0f} s of silence. ",
        )


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether a holder surely lives no more: it ran on this machine, and its process is gone."""
    here = holder.get("machine") is not None and holder["machine"] == _machine()
    return here and holder.get("born") != _born(int(holder["process"]))


def _machine() -> str | None:
    """Name the machine and its space of process numbers, as long as it is up; None where that is not known."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _born(process: int) -> str | None:
    """Return when a process began, so that a later one of its number is not taken for it; None where it has ended."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]


def _me() -> dict[str, Any]:
    return {"host": socket.gethostname(), "process": os.getpid(), "since": time.time()}


def _read(storage: Storage) -> dict[str, Any]:
    """Return the holder's name; {} where there is none, or none that can be read."""
    return storage.read_json_or_none(layout.DRIVER) or {}


def _held(storage: Storage, holder: dict[str, Any], more: str = "") -> HeldError:
    return HeldError(
        f"the study {storage.path()} is held by another driver: {_name(holder)}. {more}Wait for it, or stop it"
    )


def _name(holder: dict[str, Any]) -> str:
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
        return f"process {holder['process']} on {holder['host']}, since {since}"
    except (KeyError, TypeError):
        return "unknown"


def _unwritable(storage: Storage, error: OSError) -> UserError:
    return UserError(f"cannot write to {storage.path()}: {error}. Give --storage a place that can")
