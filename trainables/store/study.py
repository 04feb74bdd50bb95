"""The study folder: the truth about what was done. All that is read or written there goes through here.

```
STORAGE/STUDY/
  study.json  grid.yaml  plan.json  selection.parquet  data_problems.parquet
  splits/<digest>.parquet
  stages/<kind>-<readable>-<key16>/  stage.json … result.json
  report/
```
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from trainables.errors import StorageError, UserError
from trainables.hashing import short_key
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.storage import Storage

SELECTED_ON = "val f1_macro"
"""The only rule by which an epoch or a rate is chosen. Stands in every result; analysis refuses others."""


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage."""

    storage: Storage
    name: str

    def path(self, file: str = "") -> str:
        """Return the full path of a file in it, for people."""
        return self.storage.path(f"{layout.STAGES}/{self.name}/{file}".rstrip("/"))

    def begin(self, stage: Stage) -> None:
        """Write the specification, first of all files."""
        self.storage.write_json(self._file(layout.STAGE), stage.document())

    def write(self, file: str, content: bytes) -> str:
        """Write a file; return its digest."""
        return self.storage.write(self._file(file), content)

    def read(self, file: str) -> bytes:
        """Return a file's bytes, unverified. Raises FileNotFoundError."""
        return self.storage.read(self._file(file))

    def remove(self, file: str) -> None:
        """Delete a file if it is there."""
        self.storage.remove(self._file(file))

    def write_table(self, file: str, table: pa.Table) -> str:
        """Write a Parquet file; return its digest."""
        return self.storage.write_table(self._file(file), table)

    def commit(self, result: dict[str, Any]) -> None:
        """Write the result: the commit marker, last of all files. Clears an earlier failure."""
        self.storage.write_json(self._file(layout.RESULT), result)
        self.remove(layout.FAILURE)

    def retire(self, reason: str) -> None:
        """Take back a result that cannot be relied on, so that the stage is done again; what it said is kept."""
        self.storage.write_json(
            self._file(layout.RETIRED), {"reason": reason, "time": time.time(), "result": self.result()}
        )
        self.remove(layout.RESULT)

    def fail(self, kind: str, message: str, trace: str, attempts: int) -> None:
        """Write the last failure: class, message, traceback, attempts, node."""
        node = {"node": socket.gethostname(), "time": time.time()}
        failure = {"class": kind, "message": message, "traceback": trace, "attempts": attempts, **node}
        self.storage.write_json(self._file(layout.FAILURE), failure)

    def stage(self) -> dict[str, Any]:
        """Return the content of ``stage.json``."""
        return dict(self.storage.read_json(self._file(layout.STAGE)))

    def result(self) -> dict[str, Any] | None:
        """Return the committed result, or None."""
        return self._json(layout.RESULT)

    def failure(self) -> dict[str, Any] | None:
        """Return the last failure, or None."""
        return self._json(layout.FAILURE)

    def read_verified(self, file: str, result: dict[str, Any]) -> bytes:
        """Return a file's bytes after checking them against the digest in its result.

        Raises:
            ValueError: if the file is absent, has no digest in the result, or does not match it.
        """
        expected = result.get("digests", {}).get(file)
        if expected is None:
            raise ValueError(f"{self.path(layout.RESULT)} has no digest of {file}")
        try:
            content = self.read(file)
        except FileNotFoundError as error:
            raise ValueError(f"{self.path(file)} is missing, but the result names it") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(
                f"{self.path(file)} is not what the stage wrote: its SHA-256 differs from the one in {layout.RESULT}"
            )
        return content

    def _json(self, file: str) -> dict[str, Any] | None:
        try:
            return dict(self.storage.read_json(self._file(file)))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):  # torn: as good as none, and it will be written anew
            return None

    def _file(self, file: str) -> str:
        return f"{layout.STAGES}/{self.name}/{file}"


@dataclass(frozen=True)
class Study:
    """A study: one target data set, one split, one grid, in one folder."""

    storage: Storage

    @classmethod
    def open(cls, location: str) -> Study:
        """Open an existing study.

        Raises:
            UserError: if there is none, or its storage cannot be used.
        """
        study = cls(Storage(location))
        try:
            found = study.storage.exists(layout.STUDY)
        except StorageError as error:
            raise UserError(f"cannot read {study.storage.path(layout.STUDY)}: {error}") from error
        if not found:
            raise UserError(
                f"no study at {study.storage.path()}: there is no study.json in it. Give the folder that a run printed, e.g. studies/smoke"
            )
        return study

    @property
    def header(self) -> dict[str, Any] | None:
        """``study.json``: name, uid, target data fingerprint, split digest; or None before the first run."""
        try:
            return dict(self.storage.read_json(layout.STUDY))
        except FileNotFoundError:
            return None

    @property
    def plan(self) -> dict[str, Any]:
        """``plan.json``: the stages as last planned, with the labels of their cells."""
        return dict(self.storage.read_json(layout.PLAN))

    def folder(self, stage: Stage) -> StageFolder:
        """Return the folder of a stage: the one of its key, even under an earlier name; or the one to make."""
        if not self.storage.exists(f"{layout.STAGES}/{stage.folder}"):
            try:
                return self.find(str(stage.key))
            except FileNotFoundError:
                pass
        return StageFolder(self.storage, stage.folder)

    def folders(self) -> list[StageFolder]:
        """Return the folders of all stages that were begun."""
        return [StageFolder(self.storage, name) for name in self.storage.names(layout.STAGES)]

    def find(self, key: str) -> StageFolder:
        """Return the folder of the stage of a key.

        Raises:
            FileNotFoundError: if no stage of that key was begun.
        """
        for name in self.storage.names(layout.STAGES):
            if name.endswith(f"-{short_key(key)}"):
                return StageFolder(self.storage, name)
        raise FileNotFoundError(f"no stage of key {short_key(key)} in {self.storage.path(layout.STAGES)}")

    def states(self) -> dict[str, str]:
        """Return ``done`` or ``failed`` for the first 16 characters of each key that has a result or a failure.

        One listing, no file opened: a study of thousands of stages is looked at in well under a second.
        """
        states: dict[str, str] = {}
        for file in self.storage.child(layout.STAGES).files():
            folder, _, name = file.rpartition("/")
            key16 = folder.rpartition("-")[2]
            if name == layout.RESULT:
                states[key16] = "done"
            elif name == layout.FAILURE:
                states.setdefault(key16, "failed")
        return states

    def committed(self, stages: Iterable[Stage]) -> dict[str, dict[str, Any]]:
        """Return the results of those stages that have one that can be read, by key."""
        states = self.states()
        done = [stage for stage in stages if states.get(short_key(stage.key)) == "done"]
        results = {str(stage.key): self.folder(stage).result() for stage in done}
        return {key: result for key, result in results.items() if result is not None}

    def write_split(self, digest: str, table: pa.Table) -> None:
        """Keep a split. A split is never changed: one that is there stays."""
        if not self.storage.exists(layout.split_file(digest)):
            self.storage.write_table(layout.split_file(digest), table)

    def read_split(self, digest: str) -> pa.Table:
        """Return a split: fold, image_id, label, group, split."""
        return self.storage.read_table(layout.split_file(digest))

    def write_problems(self, rows: Iterable[dict[str, str]]) -> None:
        """Write ``data_problems.parquet``: data set, image_id, what."""
        schema = pa.schema([("data_set", pa.string()), ("image_id", pa.string()), ("what", pa.string())])
        self.storage.write_table(layout.DATA_PROBLEMS, pa.Table.from_pylist(list(rows), schema=schema))


def split_digest(table: pa.Table) -> str:
    """Return the SHA-256 (hex) of a split's content, whatever file format or version it went through."""
    total = hashlib.sha256()
    for name in ("fold", "image_id", "label", "group", "split"):
        values = table.column(name).to_pylist()
        total.update("\0".join("\1" if value is None else str(value) for value in values).encode() + b"\2")
    return total.hexdigest()
