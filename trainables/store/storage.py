"""Files on a local path, NFS or an object store, behind one small class.

Every write is atomic: locally a temporary file is renamed, on an object store a put is atomic by itself. So
readers need no lock.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs

from trainables.errors import StorageError, UserError
from trainables.store.arrow import parquet_bytes, read_parquet
from trainables.store.local_files import copied, entries_of, files_below, open_regular, refuse_links, renamed
from trainables.store.object_store import NO_BUCKET, explanation, open_s3
from trainables.store.untrusted import (
    MOST_FILE,
    MOST_JSON,
    MOST_TABLE,
    load_json,
    read_bounded,
    refuse_way_out,
)

CACHE = "SWEEP_CACHE"
"""Environment variable: a folder on this node's disk for prepared data and checkpoints."""
PREPARED = ".cache"
"""Folder beside the studies for prepared data that all of them use. Disposable: it is prepared again."""


class Storage:
    """A folder and everything below it. Names are relative and use ``/``.

    On an object store every method raises ``StorageError`` if the store denies access, does not answer, or has no such
    bucket: an absent bucket is never taken for an empty one.

    Attributes:
        location: path or URI by which another process opens the same folder.
        is_local: whether it is a path of this machine (mounted file systems included).
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        """Open a local path or a URI such as ``s3://bucket/prefix``. Creates nothing.

        Raises:
            UserError: if the kind of URI is unknown, or its bucket cannot be found.
        """
        self.location = os.fspath(location)
        self.is_local = "://" not in self.location
        self._bucket: str | None = None
        self._fence: str | None = None
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
        """Return the full path (or URI) of a name, for messages."""
        return f"{self._bare}/{name}{self._options}" if name else self.location

    def child(self, name: str) -> Storage:
        """Return the storage of a folder below this one."""
        below = copy.copy(self)
        below.location, below._root = self.path(name), self._full(name)
        return below

    def fenced(self) -> Storage:
        """Return the storage of the same folder that follows no symbolic link below it: for what others may have made."""
        fenced = copy.copy(self)
        fenced._fence = fenced._fence or (self._root if self.is_local else None)
        return fenced

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._bare.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """The location of the folder that holds this one."""
        return f"{self._bare.rpartition('/')[0] or '.'}{self._options}"

    @property
    def _bare(self) -> str:
        return self.location.removesuffix(self._options).rstrip("/")

    @property
    def _options(self) -> str:
        """The query part of a URI (another endpoint, for example). Every folder below needs it too."""
        mark = "" if self.is_local else self.location.partition("?")[2]
        return f"?{mark}" if mark else ""

    def exists(self, name: str) -> bool:
        """Return whether there is a file or a folder of that name."""
        full = self._full(name)
        if self.is_local:
            return os.path.lexists(full)
        with self._explained():
            found = self._fs.get_file_info(full).type != fs.FileType.NotFound
            return bool(found or self._nothing())

    def modified(self, name: str) -> float | None:
        """Return when a file was written, in seconds by the storage's own clock; None if it does not exist."""
        with self._explained():
            time = self._fs.get_file_info(self._full(name)).mtime
        return None if time is None else float(time.timestamp())

    def names(self, folder: str = "") -> list[str]:
        """Return the sorted names of the files and folders directly in a folder ([] if it does not exist)."""
        if self.is_local:
            return sorted(entry.name for entry in entries_of(self._full(folder), self._fence is None))
        selector = fs.FileSelector(self._full(folder), allow_not_found=True)
        with self._explained():
            return sorted(info.base_name for info in self._fs.get_file_info(selector) or self._nothing())

    def files(self) -> set[str]:
        """Return the names of all files below this folder, in one listing. Local links and FIFOs are among them."""
        if self.is_local:
            return set(files_below(self._full(""), "", self._fence is None))
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        start = len(self._root.rstrip("/")) + 1
        with self._explained():
            found = self._fs.get_file_info(selector) or self._nothing()
        return {info.path[start:] for info in found if info.type == fs.FileType.File}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Context with a file, open for reading.

        Raises:
            FileNotFoundError: if there is no such file.
            UnsafeFileError: if it is no regular file, or a link below a fence.
        """
        full = self._full(name)
        if self.is_local:
            with open_regular(full, follow=self._fence is None) as file:
                yield file
        else:
            with self._explained(), self._fs.open_input_stream(full) as stream:
                yield stream

    def read(self, name: str, most: int = MOST_FILE) -> bytes:
        """Return a file's bytes.

        Args:
            name: of the file.
            most: bytes that are read.

        Raises:
            FileNotFoundError: if there is no such file.
            UnsafeFileError: if it is larger, no regular file, or a link below a fence.
        """
        with self.open(name) as stream:
            return read_bounded(stream, most, self.path(name))

    def write(self, name: str, content: bytes) -> str:
        """Write a file atomically; make the folders above it.

        Args:
            name: of the file.
            content: its bytes.

        Returns:
            the SHA-256 (hex) of the content.

        Raises:
            OSError: if it cannot be written (disk full, no permission); no partial file is left.
        """
        with self._writing(name) as stream:
            stream.write(content)
        return hashlib.sha256(content).hexdigest()

    def upload(self, file: Path, name: str) -> str:
        """Copy a file of any size from this machine to the storage. Raises as ``write`` does.

        Args:
            file: on this machine.
            name: of the copy.

        Returns:
            the SHA-256 (hex) of the content.
        """
        with file.open("rb") as source, self._writing(name) as target:
            return copied(source, target)

    def download(self, name: str, file: Path) -> str:
        """Copy a file of any size from the storage to this machine.

        Args:
            name: of the file in the storage.
            file: the copy.

        Returns:
            the SHA-256 (hex) of the content.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        with self.open(name) as source, file.open("wb") as target:
            return copied(source, target)

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        if self.exists(name):
            with self._explained():
                self._fs.delete_file(self._full(name))

    def read_json(self, name: str) -> Any:
        """Return a JSON file's value.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not JSON.
        """
        return load_json(self.read(name, MOST_JSON))

    def read_json_or_none(self, name: str) -> dict[str, Any] | None:
        """Return the object in a JSON file; None if the file is absent, torn, or holds something else."""
        try:
            return dict(self.read_json(name))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_json(self, name: str, value: Any) -> str:
        """Write a value as indented JSON.

        Args:
            name: of the file.
            value: plain values only.

        Returns:
            the SHA-256 (hex) of the file.

        Raises:
            ValueError: if a number is NaN or infinite: JSON has neither.
        """
        return self.write(name, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def read_table(self, name: str) -> pa.Table:
        """Return a Parquet file as a table.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not a Parquet file.
        """
        return read_parquet(self.read(name, MOST_TABLE))

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a table as Parquet.

        Args:
            name: of the file.
            table: any Arrow table.

        Returns:
            the SHA-256 (hex) of the file.
        """
        return self.write(name, parquet_bytes(table))

    def _full(self, name: str) -> str:
        """Return the path of a name for the file system: the one way from a name to a file."""
        if name:
            refuse_way_out(name)
        full = f"{self._root.rstrip('/')}/{name}" if name else self._root
        if self._fence is not None and full != self._fence:
            refuse_links(self._fence, full)
        return full

    @contextmanager
    def _writing(self, name: str) -> Iterator[IO[bytes]]:
        target = self._full(name)
        if self.is_local:
            with renamed(Path(target)) as file:
                yield file
        else:
            with self._explained(), self._fs.open_output_stream(target) as stream:
                yield stream

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Context in which an error of an object store is raised as a StorageError with a plain message."""
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
            raise StorageError(str(error) if self._bucket is None else explanation(error, self._bucket)) from error

    def _nothing(self) -> tuple[()]:
        """Return an empty result for a name that does not exist. Raises StorageError if its bucket does not."""
        if self._bucket is not None:
            try:
                found = self._fs.get_file_info(self._bucket).type
            except OSError as error:
                raise StorageError(explanation(error, self._bucket)) from error
            if found == fs.FileType.NotFound:
                raise StorageError(NO_BUCKET.format(bucket=f"s3://{self._bucket}"))
        return ()


def node_cache() -> Path:
    """Return the folder on this node's disk for prepared data, downloads and checkpoints. It is not created."""
    return Path(os.environ.get(CACHE) or "~/.cache/scenario-sweep").expanduser()


def cache_folder(studies: Storage) -> Path:
    """Return the folder of prepared data: beside local studies, on this node's disk if they are on an object store."""
    return Path(studies.location) / PREPARED if studies.is_local else node_cache()
