"""What runs right now, kept in the study folder, so that its state can be seen from there alone."""

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
STALE_SECONDS = 60.0
"""Of a driver that has not been heard of for so long nothing is said to run."""


class Heartbeat(Callback):
    """A watcher that writes down what runs, at a bounded rate."""

    def __init__(self, study: Study, snapshot: Callable[[], ProgressSnapshot]) -> None:
        """Begin with nothing running."""
        self._study = study
        self._outlook = snapshot
        self._running: dict[str, dict[str, Any]] = {}
        self._last = 0.0
        self._write(now=True)

    def started(self, stage: Stage, attempt: int) -> None:
        """Note that an attempt began."""
        begun = {"name": stage.name, "kind": stage.kind, "attempt": attempt, "since": time.time()}
        self._running[str(stage.key)] = {**begun, "epoch": 0.0, "epochs": stage.recipe.epochs}
        self._write()

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Note how far a stage is."""
        self._running.get(str(stage.key), {}).update(epoch=progress["epoch"], epochs=progress["epochs"])
        self._write()

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Note that a stage is committed."""
        self._running.pop(str(stage.key), None)
        self._write()

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Note that an attempt failed."""
        self._running.pop(str(stage.key), None)
        self._write()

    def end(self) -> None:
        """Nothing runs any more."""
        self._running.clear()
        with suppress(OSError):
            self._study.storage.remove(layout.RUNNING)

    def _write(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._last < SECONDS:
            return
        self._last = time.monotonic()
        numbers = asdict(self._outlook())
        if numbers["end"] is not None:  # by the time of day: the other clock is this process's own
            numbers["end"] += time.time() - time.monotonic()
        with suppress(OSError):  # a mirror for people: the study does without
            self._study.storage.write_json(
                layout.RUNNING, {"time": time.time(), "outlook": numbers, "running": self._running}
            )


@dataclass(frozen=True)
class RunStatus:
    """What a driver wrote down last.

    Attributes:
        running: key -> name, kind, attempt, since, epoch, epochs of each stage that runs.
        snapshot: its numbers, by the clock of this process.
    """

    running: dict[str, dict[str, Any]]
    snapshot: ProgressSnapshot


def read(study: Study) -> RunStatus | None:
    """Return what runs, as last written, or None where no driver was heard of lately."""
    try:
        beat = dict(study.storage.read_json(layout.RUNNING))
        if time.time() - float(beat["time"]) >= STALE_SECONDS:
            return None
        numbers = dict(beat["outlook"])
        if numbers["end"] is not None:
            numbers["end"] += time.monotonic() - time.time()
        return RunStatus(dict(beat["running"]), ProgressSnapshot(**numbers))
    except (OSError, ValueError, TypeError, KeyError):
        return None
