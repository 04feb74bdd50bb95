"""What all ways of running share: hand out stages, take in what became of them.

A way of running (Ray Tune, a foreground process) asks for the next order and reports back. It knows
nothing of grids, retries or selection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sweep.schedule import Budgets, Schedule, State, Task
from trainables.site import Site
from trainables.specs import Stage
from trainables.study import Study

LOST = "the process or node that ran it was lost"


@dataclass(frozen=True)
class Order:
    """One attempt at a stage: all that a trial process is given, as plain values."""

    stage: Stage
    study: str
    site: Site
    attempt: int
    mirror: dict[str, Any] | None = None
    """How W&B is told of it; None: it is not. No key is in it."""

    def dumps(self) -> str:
        """Return the order as text."""
        rest = {"study": self.study, "site": asdict(self.site), "attempt": self.attempt, "mirror": self.mirror}
        return json.dumps({"stage": self.stage.document(), **rest})

    @classmethod
    def loads(cls, text: str) -> Order:
        """Read an order."""
        fields = json.loads(text)
        stage, site = Stage.from_document(fields["stage"]), Site(**fields["site"])
        return cls(stage, fields["study"], site, fields["attempt"], fields["mirror"])


class Watcher(Protocol):
    """Who is told what happens: the terminal."""

    def started(self, stage: Stage, attempt: int) -> None:
        """Hear that an attempt began."""

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Hear of an epoch."""

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Hear that a stage is committed."""

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Hear that an attempt failed, whether the stage is tried again, and what it blocks."""


class Driver:
    """Runs a set of stages through a schedule, whoever executes them."""

    def __init__(
        self,
        stages: Sequence[Stage],
        costs: Mapping[str, float],
        study: Study,
        site: Site,
        watcher: Watcher,
        budgets: Budgets | None = None,
        mirror: dict[str, Any] | None = None,
    ) -> None:
        """Begin with what the study has committed already."""
        self._stages = {str(stage.key): stage for stage in stages}
        done = study.committed(stages)
        tasks = [Task(key, stage.upstream, costs[key]) for key, stage in self._stages.items()]
        self._schedule = Schedule(tasks, done, budgets)
        self._study = study
        self._site = site
        self._watcher = watcher
        self._mirror = mirror
        self._stopping = False

    @property
    def states(self) -> Mapping[str, State]:
        """The state of every stage, by key."""
        return self._schedule.states

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing more will start."""
        return self._schedule.idle if self._stopping else self._schedule.finished

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stopping

    def stop(self) -> None:
        """Start nothing more."""
        self._stopping = True

    def next(self) -> Order | None:
        """Return the next attempt to make, or None if there is none now."""
        started = None if self._stopping else self._schedule.start()
        if started is None:
            return None
        key, attempt = started
        return Order(self._stages[key], self._study.storage.location, self._site, attempt, self._mirror)

    def began(self, order: Order) -> None:
        """Take in that an attempt has its place and runs."""
        self._watcher.started(order.stage, order.attempt)

    def progressed(self, key: str, progress: Mapping[str, Any]) -> None:
        """Take in an epoch of a running stage."""
        self._watcher.progressed(self._stages[key], progress)

    def ended(self, key: str, error: str | None) -> None:
        """Take in the end of an attempt that came to its own end: the error, or None where it succeeded.

        The study is asked, not the message: without a result there is no success.
        """
        stage = self._stages[key]
        try:
            result = self._study.folder(stage).result()
        except (OSError, ValueError) as unreadable:
            self._failed(stage, f"its result cannot be read: {unreadable}", None)
            return
        if result is not None:
            self._schedule.done(key)
            self._watcher.finished(stage, result)
        else:
            self._failed(stage, error or "NoResult: the stage ended without a result", error or "NoResult")

    def lost(self, key: str) -> None:
        """Take in that the process or node of an attempt is gone."""
        stage = self._stages[key]
        if self._study.states().get(key[:16]) == "done":
            self.ended(key, None)
        else:
            self._failed(stage, LOST, None)

    def _failed(self, stage: Stage, shown: str, error: str | None) -> None:
        given_up = self._schedule.failed(str(stage.key), error)
        if given_up and error is None:  # an error of its own it has written itself
            self._study.folder(stage).fail("Lost", shown, "", self._schedule.attempts(str(stage.key)))
        blocked = [self._stages[key] for key in given_up if key != stage.key]
        self._watcher.failed(stage, shown, not given_up, blocked)
