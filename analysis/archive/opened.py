"""A bundle opened for reading, as a zip file or a folder.

Somebody else may have made it: sizes are bounded, no link is followed, and a name that leads out of it is a fault.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainables.errors import UnsafeFileError, UserError
from trainables.store.local_files import open_regular
from trainables.store.storage import Storage
from trainables.store.untrusted import read_bounded, refuse_way_out

MOST_UNPACKED, MOST_TIMES = 1 << 30, 20
"""A zip may unpack to this many bytes, or to this many times its own size: what compresses well in a bundle is little, and
tables and weights are stored as they are."""
CHUNK = 1 << 20
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    RuntimeError,  # encrypted
    NotImplementedError,  # packed by another method
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
)
"""What reading a damaged or odd zip file, or an odd folder, raises."""


@dataclass(frozen=True)
class OpenedBundle:
    """A bundle that can be read.

    Attributes:
        names: of all files.
        faults: names that no unpacked bundle may have.
        open: opens a file by name.
    """

    names: frozenset[str]
    faults: tuple[str, ...]
    open: Callable[[str], IO[bytes]]

    def read(self, name: str, most: int) -> bytes:
        """Return a file's bytes.

        Args:
            name: of the file.
            most: bytes that are read.

        Raises:
            UserError: if it is larger or cannot be read.
        """
        try:
            with self.open(name) as stream:
                return read_bounded(stream, most, name)
        except UNREADABLE as error:
            raise UserError(f"{name} of the bundle cannot be read: {error}") from error

    def digest(self, name: str, size: int) -> str:
        """Return a file's SHA-256 (hex), or in words why it has none. Memory does not grow with the file.

        Args:
            name: of the file.
            size: bytes that it should have; a larger file is not read to its end.
        """
        total, left = hashlib.sha256(), size
        try:
            with self.open(name) as stream:
                while chunk := stream.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        return "larger than its manifest says"
                    total.update(chunk)
        except UNREADABLE as error:
            return f"cannot be read: {' '.join(str(error).split())[:200]}"
        return total.hexdigest()


@contextmanager
def opened(bundle: Path) -> Iterator[OpenedBundle]:
    """Context with a bundle, open.

    Args:
        bundle: a zip file or a folder.

    Raises:
        UserError: if there is none, or it unpacks to more than the bound.
    """
    if bundle.is_dir():
        files = Storage(bundle).fenced()
        names = frozenset(files.files())
        yield OpenedBundle(
            names, tuple(_faults_of_names(names)), lambda name: open_regular(_below(bundle, name), False)
        )
        return
    try:
        stream = open_regular(str(bundle), follow=True)
    except OSError as error:
        raise UserError(f"no bundle at {bundle}: {error}") from error
    with stream:
        try:
            archive = zipfile.ZipFile(stream)
        except UNREADABLE as error:
            raise UserError(f"no bundle at {bundle}: {error}") from error
        yield _of_zip(bundle, archive)


def _of_zip(bundle: Path, archive: zipfile.ZipFile) -> OpenedBundle:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    unpacked, most = sum(entry.file_size for entry in entries), max(MOST_UNPACKED, MOST_TIMES * bundle.stat().st_size)
    if unpacked > most:
        raise UserError(
            f"{bundle} unpacks to {unpacked / 1e6:,.0f} MB. At most {most / 1e6:,.0f} MB are read of a zip of its size"
        )
    counts = Counter(entry.filename for entry in archive.infolist())
    faults = [f"is in it {count} times: {name!r}" for name, count in counts.items() if count > 1]
    faults += [f"is a link: {entry.filename!r}" for entry in entries if stat.S_ISLNK(entry.external_attr >> 16)]
    faults += _faults_of_names(entry.filename.rstrip("/") for entry in archive.infolist())
    return OpenedBundle(frozenset(entry.filename for entry in entries), tuple(faults), archive.open)


def _below(bundle: Path, name: str) -> str:
    refuse_way_out(name)
    return f"{bundle}/{name}"


def _faults_of_names(names: Any) -> Iterator[str]:
    for name in sorted(names):
        try:
            refuse_way_out(name)
        except UnsafeFileError:
            yield f"leads out of the bundle: {name[:200]!r}"
            continue
        if "\\" in name or ":" in name:
            yield f"leads out of the bundle where it is unpacked on Windows: {name[:200]!r}"
