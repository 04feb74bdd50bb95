"""Callbacks of the driver: who is told when attempts start, progress, finish or fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trainables.specs import Stage

SET_ASIDE = "stopped by a person: another run goes on with it"
"""What watchers hear of a stage that someone stopped in the dashboard: no error, and nothing to look into."""


class Callback(Protocol):
    """Who is told what happens: the terminal."""

    def started(self, stage: Stage, attempt: int) -> None:
        """Hear that an attempt began."""

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Hear of an epoch."""

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Hear that a stage is committed."""

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Hear that an attempt failed, whether the stage is tried again, and what it blocks."""


class CallbackList:
    """Several watchers as one."""

    def __init__(self) -> None:
        """Begin with none."""
        self._callbacks: list[Callback] = []

    def add(self, *callbacks: Callback) -> None:
        """Tell these too, in this order."""
        self._callbacks += callbacks

    def started(self, stage: Stage, attempt: int) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.started(stage, attempt)

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.progressed(stage, progress)

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.finished(stage, result)

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Pass it on."""
        for callback in self._callbacks:
            callback.failed(stage, error, again, blocked)
