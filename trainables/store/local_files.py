"""Files of this machine: opened if they are regular files, listed without following links, written atomically."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainables.errors import UnsafeFileError

_CHUNK = 1 << 24
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def refuse_links(root: str, path: str) -> None:
    """Refuse a path on which a folder is a symbolic link.

    Args:
        root: folder that the caller chose; links above it are the caller's own.
        path: of a file or folder below it; whether it is a link itself is not looked at.

    Raises:
        UnsafeFileError: if there is a link.
    """
    parts = path[len(root.rstrip("/")) + 1 :].split("/")[:-1]
    folder = root.rstrip("/")
    for part in parts:
        folder = f"{folder}/{part}"
        if Path(folder).is_symlink():
            raise UnsafeFileError(
                f"{folder} is a symbolic link: none is followed in a study. Replace it by the folder itself"
            )


def open_regular(path: str, follow: bool) -> IO[bytes]:
    """Open a local file for reading, if it is one: opening a FIFO would wait, reading a device need not end.

    Args:
        path: of the file.
        follow: whether it may be a symbolic link.

    Raises:
        FileNotFoundError: if there is none.
        UnsafeFileError: if it is something else.
    """
    _refuse_special(path, Path(path).stat(follow_symlinks=follow).st_mode)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        stream = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFileError(f"{path} is a symbolic link: none is followed in a study") from error
        raise
    _refuse_special(path, os.fstat(stream.fileno()).st_mode)
    return stream


def entries_of(folder: str, follow: bool) -> list[os.DirEntry[str]]:
    """Return what is directly in a folder ([] if it does not exist).

    Args:
        folder: path of the folder.
        follow: whether it may be a symbolic link.
    """
    if not follow and Path(folder).is_symlink():
        raise UnsafeFileError(f"{folder} is a symbolic link: none is followed in a study")
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def files_below(folder: str, prefix: str, follow: bool) -> Iterator[str]:
    """Yield the paths of all files below a folder. A link is given as a file, and never descended into.

    Args:
        folder: path of the folder.
        prefix: put before each path.
        follow: whether the folder may be a symbolic link.
    """
    for entry in entries_of(folder, follow):
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, f"{prefix}{entry.name}/", follow)
        else:
            yield f"{prefix}{entry.name}"


@contextmanager
def renamed(target: Path) -> Iterator[IO[bytes]]:
    """Context with a temporary file to write to; renamed to ``target`` once everything is written and synced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def copied(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a stream in portions; return the SHA-256 (hex) of its bytes."""
    total = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        total.update(chunk)
        target.write(chunk)
    return total.hexdigest()


def _refuse_special(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")
    raise UnsafeFileError(f"{path} is {kind}, not a file, and is not read")
