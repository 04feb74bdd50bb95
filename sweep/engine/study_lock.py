"""The lock of a study: no two drivers run the same one.

On a file system this is a lock of the operating system, which releases it when its holder ends. An object store has no locks.
There the holder renews a lease, a file with its name; a lease that was not renewed for long belongs to a dead driver.

A lease is taken and renewed by conditional puts where the client and the server have them. Elsewhere by time (Fischer's
algorithm): whoever holds the study found it free and wrote its lease within ``LONGEST_TAKE``, and still found its own lease
there after ``SETTLE_SECONDS``, which is longer. So the lease of any other that found it free as well was there by then.
"""

from __future__ import annotations

import json
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
from trainables.store.conditional_file import ConditionalFile, conditional_file
from trainables.store.storage import Storage
from trainables.store.study import Study

RENEW_SECONDS = 15.0
"""Interval at which a lease is renewed."""
STALE_SECONDS = 90.0
"""A lease that is older has expired."""
LONGEST_TAKE = 10.0
"""Without conditional puts: a driver that took longer to find the study free and write its lease does not hold it."""
SETTLE_SECONDS = 15.0
"""Without conditional puts: wait before the lease is read again. If two drivers wrote theirs, the later one holds the study."""


class HeldError(Exception):
    """Another driver holds the study. The message says which, and since when."""


@contextmanager
def study_lock(study: Study, lost: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock of a study while within.

    The lock of a driver that died is free at once on a file system, and on an object store if that driver ran on this
    machine. Otherwise its lease expires after ``STALE_SECONDS``.

    Args:
        study: to be held.
        lost: called by another thread with a message if this driver may no longer be the only one: its lock or lease was
            deleted, or another has taken the study over, because on an object store this one could not renew its lease for
            longer than ``STALE_SECONDS``.

    Raises:
        HeldError: if another driver holds it.
        UserError: if the storage cannot be written to.
    """
    with _file_lock(study.storage, lost) if study.storage.is_local else _lease(study.storage, lost):
        yield


@contextmanager
def _file_lock(storage: Storage, lost: Callable[[str], None]) -> Iterator[None]:
    folder = Path(storage.location)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".driver.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise _held(storage, _read(storage)) from error
    except OSError as error:
        raise _unwritable(storage, error) from error
    file = Path(lock.lock_file)
    held = _identity(file)

    def beat() -> str | None:
        if _identity(file) == held:
            return None
        return f"the lock {file} was deleted while this driver held it, so another may have begun. This one stops"

    try:
        storage.write_json(layout.DRIVER, _own_name())
        with _beating(beat, lost):
            yield
    finally:
        if _identity(file) == held:  # else the name there is another's
            (folder / layout.DRIVER).unlink(missing_ok=True)
        lock.release()


def _identity(file: Path) -> tuple[int, int] | None:
    """What a file is, whatever its name; None if it is gone."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _beating(beat: Callable[[], str | None], lost: Callable[[str], None]) -> Iterator[None]:
    """Within, call ``beat`` at every interval until it returns why the study is lost, and pass that on."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(OSError):  # the storage may come back, and the study may still be this driver's
                if reason := beat():
                    lost(reason)
                    return

    beating = threading.Thread(target=repeat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join(RENEW_SECONDS)


@contextmanager
def _lease(storage: Storage, lost: Callable[[str], None]) -> Iterator[None]:
    lease = _Lease(storage)
    try:
        lease.take()
    except OSError as error:
        raise _unwritable(storage, error) from error
    try:
        with _beating(lease.renew, lost):
            yield
    finally:
        with suppress(OSError):  # the storage is gone: the lease expires
            lease.release()


class _Lease:
    """The lease of this driver."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        token = uuid.uuid4().hex
        own = {**_own_name(), "machine": _machine(), "born": _start_time(os.getpid()), "token": token}
        self._token, self._content = token, (json.dumps(own, indent=1) + "\n").encode()
        self._file: ConditionalFile | None = None
        self._tag: str | None = None
        self._renewed = 0.0

    def take(self) -> None:
        """Take the lease.

        Raises:
            HeldError: if another driver has it, or the storage is too slow to tell.
            OSError: if the storage cannot be written to.
        """
        self._file = conditional_file(self._storage.path(layout.DRIVER))
        self._tag = self._file.tag() if self._file else None
        begun = _clock()
        _refuse_if_held(self._storage)
        if self._file is not None:
            self._tag = self._file.write(self._content, self._tag)
            if not self._is_own():
                raise _held(self._storage, _read(self._storage))
            if self._file.is_honoured(self._content):
                self._tag = self._tag or self._file.tag()  # None: written by a request whose answer was lost
                return
            self._file = None
        self._storage.write(layout.DRIVER, self._content)
        self._settle(_clock() - begun)

    def renew(self) -> str | None:
        """Renew the lease; return why it is lost, if it is."""
        if self._file is not None:
            self._tag = self._file.write(self._content, self._tag) or (self._file.tag() if self._is_own() else None)
            return None if self._tag is not None else self._why_lost()
        if not self._is_own():
            return self._why_lost()
        self._storage.write(layout.DRIVER, self._content)
        since, self._renewed = _clock() - self._renewed, _clock()
        if since < STALE_SECONDS:
            return None
        return (
            f"the lease of the study {self._storage.path()} was not renewed for {since:.0f} s, so another driver may have "
            "taken it. This one stops"
        )

    def release(self) -> None:
        """Give the lease back, if it is still this driver's."""
        if self._is_own():
            self._storage.remove(layout.DRIVER)

    def _settle(self, took: float) -> None:
        self._renewed = _clock()
        if took > LONGEST_TAKE:
            self.release()
            raise HeldError(
                f"{self._storage.path()} took {took:.0f} s for a few small requests, and has no conditional writes here (they "
                f"want boto3 and a server that heeds them): beyond {LONGEST_TAKE:.0f} s another driver may have begun unseen. "
                "Try again"
            )
        time.sleep(SETTLE_SECONDS)
        if not self._is_own():
            raise _held(self._storage, _read(self._storage))

    def _is_own(self) -> bool:
        return bool(_read(self._storage).get("token") == self._token)

    def _why_lost(self) -> str:
        holder = _read(self._storage)
        if not holder:
            return f"the lease of the study {self._storage.path()} was deleted, so another driver may have begun. This one stops"
        return (
            f"the study {self._storage.path()} was taken over by another driver: {_described(holder)}. This one stops"
        )


def _clock() -> float:
    """Seconds, those included in which this machine was suspended: to others a lease grew old meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
