"""A stage under way, kept so that a killed one goes on instead of beginning again.

Random numbers are derived anew for each step (see ``Trainer``), so a checkpoint needs none of their states:
a stage that was killed and resumed ends with the bits of one that was not.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from trainables.hashing import short_key
from trainables.store.storage import Storage
from trainables.store.study import StageFolder

FILE = "checkpoint.pt"
DIGEST_BYTES = 32
SHARE_OF_TIME = 0.05
"""Writing takes no more than this share of a stage's time: a checkpoint may weigh gigabytes."""

State = dict[str, Any]


@dataclass
class _Place:
    """Where checkpoints of the stage are kept, and when the next one is due."""

    storage: Storage
    name: str
    seconds: float
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._due = time.monotonic() + self.seconds

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def write(self, content: bytes) -> None:
        started = time.monotonic()
        try:
            self.storage.write(self.name, content)
        finally:
            now = time.monotonic()
            self._due = now + max(self.seconds, (now - started) / SHARE_OF_TIME)

    def read(self) -> bytes | None:
        try:
            return self.storage.read(self.name)
        except FileNotFoundError:
            return None


class Checkpoint:
    """The checkpoints of one stage: on the node's own disk often, in the study at a bounded rate."""

    def __init__(
        self,
        folder: StageFolder,
        key: str,
        seconds: float,
        scratch: str | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Name the places of the checkpoints.

        Args:
            folder: of the stage.
            key: of the stage.
            seconds: how long at least lies between two checkpoints in the study.
            scratch: folder on the node's own disk that takes one whenever one is offered; None: none does.
            warn: told of a checkpoint that cannot be written. The stage goes on.
        """
        self._key = key
        self._warn = warn
        self._places = [_Place(folder.files, FILE, seconds)]
        if scratch is not None:
            self._places.append(_Place(Storage(scratch), f"{short_key(key)}.pt", 0.0))

    def load(self) -> State | None:
        """Return the furthest state, or None where there is none that is whole and of this stage."""
        states = [state for place in self._places if (state := self._read(place.read())) is not None]
        return max(states, key=lambda state: (len(state["epochs"]), state["tally"]["steps"]), default=None)

    def offer(self, state: Callable[[], State]) -> None:
        """Keep a state where the last one is old enough."""
        self._write(state, [place for place in self._places if place.is_due])

    def save(self, state: Callable[[], State]) -> None:
        """Keep a state now: the stage is about to be stopped."""
        self._write(state, self._places)

    def discard(self) -> None:
        """Delete them: the stage has its result."""
        for place in self._places:
            place.storage.remove(place.name)

    def _write(self, state: Callable[[], State], places: list[_Place]) -> None:
        if not places:
            return
        buffer = io.BytesIO()
        torch.save({"key": self._key, "training": state()}, buffer)
        payload = buffer.getvalue()
        content = hashlib.sha256(payload).digest() + payload
        for place in places:
            try:
                place.write(content)
            except OSError as error:
                self._warn(f"no checkpoint could be written: {error}")

    def _read(self, content: bytes | None) -> State | None:
        if content is None or hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return None
        try:
            state = torch.load(io.BytesIO(content[DIGEST_BYTES:]), map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - no checkpoint of ours: the stage begins again, nothing of it is run
            return None
        return dict(state["training"]) if state["key"] == self._key else None
