"""``running.json`` of the study folder: the running stages, for ``python -m sweep.status`` in another process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sweep.engine.callbacks import Callback
from sweep.monitor.progress_stats import ProgressSnapshot
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import Study

SECONDS = 5.0
"""Shortest time between two writes."""
STALE_SECONDS = 60.0
"""A file older than this counts as absent: its driver is gone."""


class Heartbeat(Callback):
    """A callback that writes the running stages to the study folder, at a bounded rate."""

    def __init__(self, study: Study, snapshot: Callable[[], ProgressSnapshot]) -> None:
        """Write a file with no running stage.

        Args:
            study: in whose folder the file is.
            snapshot: returns the current progress.
        """
        self._study = study
        self._snapshot = snapshot
        self._running: dict[str, dict[str, Any]] = {}
        self._last = 0.0
        self._write(now=True)

    def started(self, stage: Stage, attempt: int) -> None:
        """Add a running stage."""
        begun = {"name": stage.name, "kind": stage.kind, "attempt": attempt, "since": time.time()}
        self._running[str(stage.key)] = {**begun, "epoch": 0.0, "epochs": stage.recipe.epochs}
        self._write()

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Update the epoch of a running stage."""
        self._running.get(str(stage.key), {}).update(epoch=progress["epoch"], epochs=progress["epochs"])
        self._write()

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Remove a stage that is done."""
        self._running.pop(str(stage.key), None)
        self._write()

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Remove a stage whose attempt failed."""
        self._running.pop(str(stage.key), None)
        self._write()

    def end(self) -> None:
        """Remove the file: the run ends."""
        self._running.clear()
        with suppress(OSError):
            self._study.storage.remove(layout.RUNNING)

    def _write(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._last < SECONDS:
            return
        self._last = time.monotonic()
        numbers = asdict(self._snapshot())
        if (
            numbers["end"] is not None
        ):  # in wall-clock time: the monotonic clock of this process means nothing to others
            numbers["end"] += time.time() - time.monotonic()
        with suppress(OSError):  # only people read it: a run does not fail for it
            self._study.storage.write_json(
                layout.RUNNING, {"time": time.time(), "outlook": numbers, "running": self._running}
            )


@dataclass(frozen=True)
class RunStatus:
    """What a driver wrote last.

    Attributes:
        running: key -> name, kind, attempt, since, epoch, epochs of each running stage.
        snapshot: its progress, by the monotonic clock of this process.
    """

    running: dict[str, dict[str, Any]]
    snapshot: ProgressSnapshot


def read(study: Study) -> RunStatus | None:
    """Return the status that a driver wrote last; None if it is older than ``STALE_SECONDS``, absent or damaged."""
    try:
        status = dict(study.storage.read_json(layout.RUNNING))
        if time.time() - float(status["time"]) >= STALE_SECONDS:
            return None
        numbers = dict(status["outlook"])
        if numbers["end"] is not None:
            numbers["end"] += time.monotonic() - time.time()
        return RunStatus(dict(status["running"]), ProgressSnapshot(**numbers))
    except (OSError, ValueError, TypeError, KeyError):
        return None
