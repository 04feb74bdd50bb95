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
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from trainables.errors import UserError


class Storage:
    """A folder and all below it. Names are relative, with ``/``."""

    def __init__(self, location: str | os.PathLike[str]) -> None:
        """Open a local path or a URI such as ``s3://bucket/prefix``. Creates nothing.

        Raises:
            UserError: if the URI is of no known kind.
        """
        self.location = os.fspath(location)
        self.is_local = "://" not in self.location
        if self.location.endswith("://"):
            raise UserError(f"the storage {self.location} names no bucket or folder")
        if self.is_local:
            self.location = str(Path(self.location).expanduser().absolute())
            self._fs: fs.FileSystem = fs.LocalFileSystem()
            self._root = self.location
        else:
            try:
                self._fs, self._root = fs.FileSystem.from_uri(_uri(self.location))
            except (pa.ArrowInvalid, OSError) as error:
                raise UserError(
                    f"cannot open the storage {self.location}: {error}. Give a folder, or a URI such as s3://bucket/prefix"
                ) from error
            if isinstance(self._fs, fs.LocalFileSystem):  # file:///folder
                self.location, self.is_local = self._root, True

    def path(self, name: str = "") -> str:
        """Return the full path (or URI) of a name, for people to read."""
        if not name:
            return self.location
        folder, mark, options = (self.location, "", "") if self.is_local else self.location.partition("?")
        return f"{folder.rstrip('/')}/{name}{mark}{options}"

    def child(self, name: str) -> Storage:
        """Return the storage of a folder below this one."""
        below = copy.copy(self)
        below.location, below._root = self.path(name), self._full(name)
        return below

    def exists(self, name: str) -> bool:
        """Say whether there is a file or a folder of that name."""
        return bool(self._fs.get_file_info(self._full(name)).type != fs.FileType.NotFound)

    def modified(self, name: str) -> float | None:
        """Return when a file was written, in seconds by the storage's own clock; None where there is none."""
        time = self._fs.get_file_info(self._full(name)).mtime
        return None if time is None else float(time.timestamp())

    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names of the files and folders directly in a folder ([] where there is none)."""
        selector = fs.FileSelector(self._full(folder), allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def files(self) -> set[str]:
        """Return the names of all files below, in one listing."""
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        start = len(self._root.rstrip("/")) + 1
        return {info.path[start:] for info in self._fs.get_file_info(selector) if info.type == fs.FileType.File}

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        with self._fs.open_input_stream(self._full(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> str:
        """Write a file atomically, with the folders above it; return the SHA-256 (hex) of its content.

        Raises:
            OSError: if it cannot be written (disk full, no rights); nothing half-written is left.
        """
        target = self._full(name)
        if self.is_local:
            _write_and_rename(Path(target), content)
        else:
            with self._fs.open_output_stream(target) as stream:
                stream.write(content)
        return hashlib.sha256(content).hexdigest()

    def remove(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.exists(name):
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


def cache_folder(studies: Storage) -> Path:
    """Return where prepared data lie: beside the studies, or with the user where those are on an object store."""
    return Path(studies.location) / ".cache" if studies.is_local else Path("~/.cache/scenario-sweep").expanduser()


def _uri(location: str) -> str:
    """Return a location as a URI by the rules: blanks and letters such as é are escaped.

    On S3 with the option by which a small file is one request, not the three of an upload in parts.
    """
    uri = quote(location, safe=":/?#[]@!$&'()*+,;=%")
    if not uri.startswith("s3://") or "allow_delayed_open" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def _write_and_rename(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
