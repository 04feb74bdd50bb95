"""Callbacks of the driver: called when attempts start, progress, finish or fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trainables.specs import Stage

CANCELLED = "stopped by a person in the W&B dashboard; the next run resumes it"
"""The ``error`` of a stage that someone stopped in the dashboard: nothing is wrong with it."""


class Callback(Protocol):
    """What the driver calls, in its own thread."""

    def started(self, stage: Stage, attempt: int) -> None:
        """Handle the start of an attempt.

        Args:
            stage: the stage.
            attempt: its number, from 1.
        """

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Handle a heartbeat.

        Args:
            stage: the stage.
            progress: the fields of ``StageProgress``; ``shown`` is empty within an epoch.
        """

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Handle the commit of a stage.

        Args:
            stage: the stage.
            result: content of its ``result.json``.
        """

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Handle the failure of an attempt.

        Args:
            stage: the stage.
            error: for people.
            again: whether the stage is tried again.
            blocked: stages that cannot run because this one failed for good.
        """


class CallbackList:
    """A callback that calls several others in turn."""

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []

    def add(self, *callbacks: Callback) -> None:
        """Append callbacks."""
        self._callbacks += callbacks

    def started(self, stage: Stage, attempt: int) -> None:
        """Call ``started`` of each."""
        for callback in self._callbacks:
            callback.started(stage, attempt)

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Call ``progressed`` of each."""
        for callback in self._callbacks:
            callback.progressed(stage, progress)

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Call ``finished`` of each."""
        for callback in self._callbacks:
            callback.finished(stage, result)

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Call ``failed`` of each; see ``Callback``."""
        for callback in self._callbacks:
            callback.failed(stage, error, again, blocked)
