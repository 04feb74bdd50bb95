"""A stage under way, kept so that a killed one goes on instead of beginning again.

Random numbers are derived for each epoch anew (see ``fit``), so a checkpoint needs none of their states:
a stage that was killed and resumed ends with the bits of one that was not.
"""

from __future__ import annotations

import hashlib
import io
import time
from typing import Any

import torch

from trainables.study import StageFolder

FILE = "checkpoint.pt"
DIGEST_BYTES = 32


class Checkpoint:
    """The checkpoint of one stage: written after an epoch, at a bounded rate; gone when the stage is committed."""

    def __init__(self, folder: StageFolder, key: str, seconds: float) -> None:
        """Write no more often than every so many seconds: a checkpoint may weigh gigabytes."""
        self._folder = folder
        self._key = key
        self._seconds = seconds
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the last state, or None where there is none that is whole and of this stage."""
        try:
            content = self._folder.read(FILE)
        except FileNotFoundError:
            return None
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        try:
            state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - no checkpoint of ours: the stage begins again, nothing of it is run
            return None
        return dict(state["training"]) if state["key"] == self._key else None

    def save(self, training: dict[str, Any]) -> None:
        """Keep a state, if the last one is old enough."""
        if time.monotonic() - self._last < self._seconds:
            return
        buffer = io.BytesIO()
        torch.save({"key": self._key, "training": training}, buffer)
        payload = buffer.getvalue()
        self._folder.write(FILE, hashlib.sha256(payload).digest() + payload)
        self._last = time.monotonic()

    def discard(self) -> None:
        """Delete it: the stage has its result."""
        self._folder.remove(FILE)
