"""Files on a local path, NFS or an object store, behind one small class.

A write is atomic everywhere: locally a temporary file is renamed, on an object store a put is
atomic by itself. Reading needs no lock.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from trainables.errors import StorageError, UserError
from trainables.store.object_store import NO_BUCKET, meaning, open_s3

CACHE = "SWEEP_CACHE"
"""Environment variable: a folder on this node's own disk for prepared data and checkpoints."""
PREPARED = ".cache"
"""Folder beside the studies: what all of them use, and can be made anew."""
_CHUNK = 1 << 24


class Storage:
    """A folder and all below it. Names are relative, with ``/``.

    On an object store every method raises ``StorageError`` where it refuses, does not answer, or its bucket is gone: an
    absent bucket is never taken for an empty one.

    Attributes:
        location: path or URI, by which another process opens the same.
        is_local: whether it is a folder of this machine (or mounted there).
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        """Open a local path or a URI such as ``s3://bucket/prefix``. Creates nothing.

        Raises:
            UserError: if the URI is of no known kind, or its bucket cannot be found.
        """
        self.location = os.fspath(location)
        self.is_local = "://" not in self.location
        self._bucket: str | None = None
        if self.location.endswith("://"):
            raise UserError(f"the storage {self.location} names no bucket or folder")
        if self.is_local:
            self.location = str(Path(self.location).expanduser().absolute())
            self._fs: fs.FileSystem = fs.LocalFileSystem()
            self._root = self.location
        else:
            try:
                if self.location.startswith("s3://"):
                    self._fs, self._root = open_s3(self.location)
                    self._bucket = self._root.partition("/")[0]
                else:
                    self._fs, self._root = fs.FileSystem.from_uri(quote(self.location, safe=":/?#[]@!$&'()*+,;=%"))
            except (pa.ArrowInvalid, OSError) as error:
                raise UserError(
                    f"cannot open the storage {self.location}: {error}. Give a folder, or a URI such as s3://bucket/prefix"
                ) from error
            if isinstance(self._fs, fs.LocalFileSystem):  # file:///folder
                self.location, self.is_local = self._root, True

    def path(self, name: str = "") -> str:
        """Return the full path (or URI) of a name, for people to read."""
        return f"{self._bare}/{name}{self._options}" if name else self.location

    def child(self, name: str) -> Storage:
        """Return the storage of a folder below this one."""
        below = copy.copy(self)
        below.location, below._root = self.path(name), self._full(name)
        return below

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._bare.rpartition("/")[2]

    @property
    def above(self) -> str:
        """The location of the folder it lies in."""
        return f"{self._bare.rpartition('/')[0] or '.'}{self._options}"

    @property
    def _bare(self) -> str:
        return self.location.removesuffix(self._options).rstrip("/")

    @property
    def _options(self) -> str:
        """What a URI says after its question mark: another endpoint, say. Each folder below needs it too."""
        mark = "" if self.is_local else self.location.partition("?")[2]
        return f"?{mark}" if mark else ""

    def exists(self, name: str) -> bool:
        """Say whether there is a file or a folder of that name."""
        with self._plainly():
            found = self._fs.get_file_info(self._full(name)).type != fs.FileType.NotFound
            return bool(found or self._nothing())

    def modified(self, name: str) -> float | None:
        """Return when a file was written, in seconds by the storage's own clock; None where there is none."""
        with self._plainly():
            time = self._fs.get_file_info(self._full(name)).mtime
        return None if time is None else float(time.timestamp())

    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names of the files and folders directly in a folder ([] where there is none)."""
        selector = fs.FileSelector(self._full(folder), allow_not_found=True)
        with self._plainly():
            return sorted(info.base_name for info in self._fs.get_file_info(selector) or self._nothing())

    def files(self) -> set[str]:
        """Return the names of all files below, in one listing."""
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        start = len(self._root.rstrip("/")) + 1
        with self._plainly():
            found = self._fs.get_file_info(selector) or self._nothing()
        return {info.path[start:] for info in found if info.type == fs.FileType.File}

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        with self._plainly(), self._fs.open_input_stream(self._full(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> str:
        """Write a file atomically, with the folders above it; return the SHA-256 (hex) of its content.

        Raises:
            OSError: if it cannot be written (disk full, no rights); nothing half-written is left.
        """
        with self._writing(name) as stream:
            stream.write(content)
        return hashlib.sha256(content).hexdigest()

    def send(self, file: Path, name: str) -> str:
        """Copy a file of this machine, however large, to the storage; return its SHA-256 (hex). Raises as ``write``."""
        with file.open("rb") as source, self._writing(name) as target:
            return _copy(source, target)

    def fetch(self, name: str, file: Path) -> str:
        """Copy a file of the storage, however large, to one of this machine; return its SHA-256 (hex).

        Raises:
            FileNotFoundError: if there is no such file.
        """
        with self._plainly(), self._fs.open_input_stream(self._full(name)) as source, file.open("wb") as target:
            return _copy(source, target)

    def remove(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.exists(name):
            with self._plainly():
                self._fs.delete_file(self._full(name))

    def read_json(self, name: str) -> Any:
        """Return a JSON file's value. Raises FileNotFoundError, or ValueError where it is no JSON."""
        return json.loads(self.read(name))

    def write_json(self, name: str, value: Any) -> str:
        """Write a value as indented JSON; return its digest. NaN is refused: JSON has none."""
        return self.write(name, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def read_table(self, name: str) -> pa.Table:
        """Return a Parquet file as a table."""
        return pq.ParquetFile(pa.BufferReader(self.read(name))).read()  # pq.read_table would import pandas

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a table as Parquet; return its digest."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return self.write(name, sink.getvalue().to_pybytes())

    def _full(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[bytes]]:
        target = self._full(name)
        if self.is_local:
            with _renamed(Path(target)) as file:
                yield file
        else:
            with self._plainly(), self._fs.open_output_stream(target) as stream:
                yield stream

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Within, what an object store does not do is raised in plain words."""
        try:
            yield
        except FileNotFoundError:
            self._nothing()
            raise
        except StorageError:
            raise
        except OSError as error:
            if self.is_local:
                raise
            raise StorageError(str(error) if self._bucket is None else meaning(error, self._bucket)) from error

    def _nothing(self) -> tuple[()]:
        """Return nothing, where a bucket is there and has nothing of what was asked for. Raises StorageError."""
        if self._bucket is not None:
            try:
                found = self._fs.get_file_info(self._bucket).type
            except OSError as error:
                raise StorageError(meaning(error, self._bucket)) from error
            if found == fs.FileType.NotFound:
                raise StorageError(NO_BUCKET.format(bucket=f"s3://{self._bucket}"))
        return ()


def node_cache() -> Path:
    """Return the folder on this node's own disk for what is prepared, fetched or under way. Not made here."""
    return Path(os.environ.get(CACHE) or "~/.cache/scenario-sweep").expanduser()


def cache_folder(studies: Storage) -> Path:
    """Return where prepared data lie: beside the studies, or on this node where those are on an object store."""
    return Path(studies.location) / PREPARED if studies.is_local else node_cache()


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    total = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        total.update(chunk)
        target.write(chunk)
    return total.hexdigest()


@contextmanager
def _renamed(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, that is under its name once all is written."""
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
