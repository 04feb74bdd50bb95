"""Files of a data set, which may come from anybody: only regular files of bounded size are opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 30
"""Bytes of the largest file that is read as one image."""


def stamp(file: Path | str) -> str:
    """Return what changes when a file changes; empty if it is no regular file (a pipe or a device would hang a reader)."""
    status = os.stat(file)  # noqa: PTH116 - with a Path for each, 171,374 names took 4 s
    return f"{status.st_size}:{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def read_file(file: Path) -> bytes:
    """Return the content of an image file.

    Raises:
        OSError: if it cannot be read, is no regular file (a pipe would never end), or has more than MOST_BYTES.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{file} is no regular file")
        if status.st_size > MOST_BYTES:
            raise OSError(f"{file} has {status.st_size:,} bytes; an image may have {MOST_BYTES:,}")
        return stream.read()
