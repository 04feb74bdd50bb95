"""The study folder: the only record of what was done. Everything in it is read and written through here.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from trainables.errors import StorageError, UserError
from trainables.hashing import short_key
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.untrusted import plain_name

SELECTED_ON = "val f1_macro"
"""The only rule by which an epoch or a learning rate is chosen. It is in every result; analysis refuses any other."""

Document = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage.

    Attributes:
        storage: the storage of the study.
        name: of the folder, below ``stages/``.
    """

    storage: Storage
    name: str

    @cached_property
    def files(self) -> Storage:
        """The storage of the folder itself: its files are read and written by their bare names."""
        return self.storage.child(layout.stage_file(self.name))

    def path(self, file: str = "") -> str:
        """Return the full path of a file in the folder, for messages."""
        return self.files.path(file)

    def begin(self, stage: Stage) -> None:
        """Write the specification, before all other files."""
        self.files.write_json(layout.STAGE, stage.document())

    def commit(self, result: Document) -> None:
        """Write the result, after all other files: the commit marker. Removes an earlier failure."""
        self.files.write_json(layout.RESULT, result)
        self.files.remove(layout.FAILURE)

    def retire(self, reason: str) -> None:
        """Withdraw an unreliable result, so that the stage runs again; ``retired.json`` keeps it with the reason."""
        self.files.write_json(layout.RETIRED, {"reason": reason, "time": time.time(), "result": self.result()})
        self.files.remove(layout.RESULT)

    def fail(self, kind: str, message: str, trace: str, attempts: int) -> None:
        """Write ``failure.json``, with the host name of this node and the time.

        Args:
            kind: class of the exception.
            message: its message.
            trace: its traceback.
            attempts: how often the stage was started so far.
        """
        node = {"node": socket.gethostname(), "time": time.time()}
        failure = {"class": kind, "message": message, "traceback": trace, "attempts": attempts, **node}
        self.files.write_json(layout.FAILURE, failure)

    def stage(self) -> Document:
        """Return the content of ``stage.json``.

        Raises:
            OSError, ValueError: if it cannot be read, or is no mapping.
        """
        return _mapping(self.files, layout.STAGE)

    def result(self) -> Document | None:
        """Return the committed result, or None if there is none that is whole."""
        return self.files.read_json_or_none(layout.RESULT)

    def failure(self) -> Document | None:
        """Return the last failure, or None if there is none that is whole."""
        return self.files.read_json_or_none(layout.FAILURE)

    def read_verified(self, file: str, result: Mapping[str, Any]) -> bytes:
        """Return a file's bytes after comparing their SHA-256 with the digest in the result.

        Args:
            file: name of the file.
            result: a result; its ``digests`` map file names to SHA-256 (hex).

        Raises:
            ValueError: if the file is absent or no plain name, has no digest in the result, or does not match it.
        """
        if plain_name(file) in layout.RECORDS:
            raise ValueError(f"{self.path(layout.RESULT)} has a digest of {file}, which is no file that a stage makes")
        digests = result.get("digests")
        expected = digests.get(file) if isinstance(digests, Mapping) else None
        if expected is None:
            raise ValueError(f"{self.path(layout.RESULT)} has no digest of {file}")
        try:
            content = self.files.read(file)
        except FileNotFoundError as error:
            raise ValueError(f"{self.path(file)} is missing, but the result names it") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(
                f"{self.path(file)} is not what the stage wrote: its SHA-256 differs from the one in {layout.RESULT}"
            )
        return content


@dataclass(frozen=True)
class Study:
    """A study: one target data set, one split, one grid, in one folder."""

    storage: Storage

    def __post_init__(self) -> None:
        """Follow no link below the folder: the study may be somebody else's."""
        object.__setattr__(self, "storage", self.storage.fenced())

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
    def header(self) -> Document | None:
        """``study.json``: name, uid, target data fingerprint, split digest; None before the first run."""
        try:
            return _mapping(self.storage, layout.STUDY)
        except FileNotFoundError:
            return None

    @property
    def plan(self) -> Document:
        """``plan.json``: the stages as last planned, with the labels of their cells."""
        return _mapping(self.storage, layout.PLAN)

    def folder(self, stage: Stage) -> StageFolder:
        """Return the folder of a stage: the one that ends with its key, even under an earlier name, or the one to make."""
        if not self.storage.exists(layout.stage_file(stage.folder)):
            try:
                return self.find(str(stage.key))
            except FileNotFoundError:
                pass
        return StageFolder(self.storage, stage.folder)

    def folders(self) -> list[StageFolder]:
        """Return the folders of all stages that were begun."""
        return [StageFolder(self.storage, name) for name in self.storage.names(layout.STAGES)]

    def find(self, key: str) -> StageFolder:
        """Return the folder of the stage with this key.

        Raises:
            FileNotFoundError: if no stage with this key was begun.
        """
        for folder in self.folders():
            if folder.name.endswith(f"-{short_key(key)}"):
                return folder
        raise FileNotFoundError(f"no stage of key {short_key(key)} in {self.storage.path(layout.STAGES)}")

    def states(self) -> dict[str, Literal["done", "failed"]]:
        """Return the state of every stage that has a result or a failure, by the first 16 characters of its key.

        Takes one listing and opens no file: well under a second for thousands of stages.
        """
        states: dict[str, Literal["done", "failed"]] = {}
        for file in self.storage.child(layout.STAGES).files():
            folder, _, name = file.rpartition("/")
            key16 = folder.rpartition("-")[2]
            if name == layout.RESULT:
                states[key16] = "done"
            elif name == layout.FAILURE:
                states.setdefault(key16, "failed")
        return states

    def committed(self, stages: Iterable[Stage]) -> dict[str, Document]:
        """Return the readable results of those stages that have one, by key."""
        states = self.states()
        done = [stage for stage in stages if states.get(short_key(stage.key)) == "done"]
        results = {str(stage.key): self.folder(stage).result() for stage in done}
        return {key: result for key, result in results.items() if result is not None}

    def write_split(self, digest: str, table: pa.Table) -> None:
        """Write a split, unless it is there already: a split never changes.

        Args:
            digest: its ``split_digest``.
            table: fold, image_id, label, group, split: one row per fold and image.
        """
        if not self.storage.exists(layout.split_file(digest)):
            self.storage.write_table(layout.split_file(digest), table)

    def read_split(self, digest: str) -> pa.Table:
        """Return a split: fold, image_id, label, group, split."""
        return self.storage.read_table(layout.split_file(digest))

    def write_problems(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Write ``data_problems.parquet``: data set, image_id, what."""
        schema = pa.schema([("data_set", pa.string()), ("image_id", pa.string()), ("what", pa.string())])
        self.storage.write_table(layout.DATA_PROBLEMS, pa.Table.from_pylist(list(rows), schema=schema))


def split_digest(table: pa.Table) -> str:
    """Return the SHA-256 (hex) of a split's content, independent of file format and version."""
    total = hashlib.sha256()
    for name in ("fold", "image_id", "label", "group", "split"):
        values = table.column(name).to_pylist()
        total.update("\0".join("\1" if value is None else str(value) for value in values).encode() + b"\2")
    return total.hexdigest()


def _mapping(storage: Storage, name: str) -> Document:
    """Return the object in a JSON file; ValueError if it holds something else."""
    content = storage.read_json(name)
    if not isinstance(content, dict):
        raise ValueError(f"{storage.path(name)} holds no mapping of fields to values")
    return content
