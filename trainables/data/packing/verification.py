"""Which shards this node has verified, noted in a file that all its processes share.

A shard counts as verified while its size, its times of modification and change, and its inode are those it had when its
digest was last compared. The note lies beside the folder of the set, one a node; where that place cannot be written to,
in the node's own cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from trainables.data.packing.manifest import DamagedDataError
from trainables.data.packing.shards import Shard, digest_of
from trainables.store.storage import node_cache

CLOCK_TICK = 0.02
"""Seconds in which two changes of a file may get the same time: Linux notes them by ticks of up to 10 ms."""
KEPT_SECONDS = 30 * 86400
"""A note, or its lock, that was not written to for so long is deleted: its shards are then verified once more."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Checked(NamedTuple):
    """A shard that was compared with its digest: its stamp then, and the ``since`` that was asked for."""

    stamp: str
    since: float


def stamp(file: Path) -> str:
    """Return what changes whenever a file does: size, times of modification and of change, inode."""
    status = os.stat(file)  # noqa: PTH116 - asked for every shard of every batch
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def verify(folder: Path, shards: Sequence[Shard], edge: int, since: float = 0.0) -> dict[str, str]:
    """Compare shards with their digests, where this node has not done so since they last changed.

    Args:
        folder: of the prepared set.
        shards: those to verify.
        edge: of their images, pixels.
        since: names a run by its start, in seconds since the epoch; what was verified for an earlier run only is verified
            again. 0: what was verified for any run, or written by this node, counts.

    Returns:
        The stamp of each shard, by file name: while it stays the same, the shard is verified.

    Raises:
        DamagedDataError: if a shard is missing or is not what was written; it names each.
    """
    note = _note_file(folder)
    known = _read(note)
    if _doubtful(folder, shards, known, since):
        with _locked(note):  # of several processes one reads, the others wait for what it notes
            known = _read(note)
            doubtful = _doubtful(folder, shards, known, since)
            checked, faults = _check(folder, doubtful, edge, since)
            known = {file: one for file, one in known.items() if file not in {s.file for s in doubtful}} | checked
            _write(note, known)
        if faults:
            raise DamagedDataError(folder, faults)
    return {shard.file: known[shard.file].stamp for shard in shards}


def note_written(folder: Path, shards: Sequence[Shard]) -> None:
    """Note shards that this process has just written, with their digests taken from memory, as verified."""
    _let_clock_tick(folder, shards)
    _write(_note_file(folder), {shard.file: Checked(stamp(folder / shard.file), 0.0) for shard in shards})


def _doubtful(folder: Path, shards: Sequence[Shard], known: dict[str, Checked], since: float) -> list[Shard]:
    """Return the shards that must be read: unknown, changed, or verified for earlier runs only."""

    def is_known(shard: Shard) -> bool:
        checked = known.get(shard.file)
        try:
            return checked is not None and checked.since >= since and checked.stamp == stamp(folder / shard.file)
        except OSError:
            return False

    return [shard for shard in shards if not is_known(shard)]


def _check(folder: Path, shards: Sequence[Shard], edge: int, since: float) -> tuple[dict[str, Checked], list[str]]:
    """Read shards on all cores; return those that are whole, and what is wrong with the others."""
    _let_clock_tick(folder, shards)
    whole: dict[str, Checked] = {}
    faults: list[str] = []

    def one(shard: Shard) -> Checked | str:
        file = folder / shard.file
        try:
            checked = Checked(stamp(file), since)  # before it is read: what changes meanwhile is read again
            found = digest_of(file, shard.rows, edge)
        except FileNotFoundError:
            return f"{shard.file} is missing"
        except (OSError, ValueError) as error:
            return f"{shard.file} cannot be read: {error}"
        return checked if found == shard.digest else f"{shard.file} has the digest {found}, expected {shard.digest}"

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for shard, result in zip(shards, pool.map(one, shards), strict=True):
            if isinstance(result, Checked):
                whole[shard.file] = result
            else:
                faults.append(result)
    return whole, faults


def _let_clock_tick(folder: Path, shards: Sequence[Shard]) -> None:
    """Wait until the next change of any of the files must get another time than the last one had."""
    latest = 0.0
    for shard in shards:
        with suppress(OSError):
            latest = max(latest, (folder / shard.file).stat().st_ctime)
    if 0 <= time.time() - latest < CLOCK_TICK:
        time.sleep(CLOCK_TICK)


def _note_file(folder: Path) -> Path:
    """Return where this node notes what it verified. Its name holds that of the machine's start: names of hosts repeat."""
    try:
        node = _BOOT.read_text(encoding="utf-8").strip()
    except OSError:
        node = platform.node()
    if os.access(folder.parent, os.W_OK):
        return folder.with_name(f"{folder.name}.{node}.verified")
    place = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    return node_cache() / "verified" / f"{folder.name}.{place}.{node}.verified"


def _read(note: Path) -> dict[str, Checked]:
    try:
        content = json.loads(note.read_bytes())
        return {file: Checked(str(mark), float(since)) for file, (mark, since) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(note: Path, checked: dict[str, Checked]) -> None:
    """Keep the note. Where it cannot be kept, each process verifies for itself."""
    partial = note.with_name(f"{note.name}.{os.getpid()}.partial")
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(checked))
        partial.replace(note)
        for other in note.parent.glob("*.verified*"):  # of machines that were started anew since
            if time.time() - other.stat().st_mtime > KEPT_SECONDS:
                other.unlink()


@contextmanager
def _locked(note: Path) -> Iterator[None]:
    """Let one process of the node verify at a time; where no lock can be made, let all."""
    lock = FileLock(note.with_name(f"{note.name}.lock"))
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
