"""A backend for the driver without processes, and a callback that records its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sweep.engine.driver import Driver
from sweep.engine.trial_request import TrialRequest
from trainables.runtime import RuntimeContext, Workers
from trainables.specs import Stage
from trainables.store.study import Study

RUNTIME = RuntimeContext({"cells": "/data/cells"}, {"0" * 64: "/weights/a file"}, "pretrain")
WORKER = Workers(1, 4.0, 1.0)
DONE, LOST, SILENT, COMMITTED_THEN_LOST = "done", "lost", "silent", "committed, then lost"


class Recorder:
    """A callback that records its calls."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def started(self, stage: Stage, attempt: int) -> None:
        self.events.append(("started", stage.name, attempt))

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        self.events.append(("progressed", stage.name, progress["epoch"]))

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        self.events.append(("finished", stage.name, result["key"]))

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        self.events.append(("failed", stage.name, error, again, sorted(b.name for b in blocked)))

    def of(self, event: str) -> list[tuple[Any, ...]]:
        return [rest for kind, *rest in self.events if kind == event]  # type: ignore[misc]


class InMemory:
    """Runs each request at once, with the outcome that a script names; writes what a trial would write."""

    def __init__(self, study: Study, scores: Callable[[Stage], float] = lambda stage: 0.5) -> None:
        self.study = study
        self.scores = scores
        self.script: dict[str, Iterator[str]] = {}
        self.requests: list[TrialRequest] = []

    def run(self, driver: Driver) -> None:
        while not driver.finished:
            request = driver.next_request(1)
            assert request is not None, "nothing runs, nothing is ready, and it is not finished"
            self.one(driver, request)

    def one(self, driver: Driver, request: TrialRequest) -> None:
        request = TrialRequest.loads(request.dumps())
        self.requests.append(request)
        driver.on_started(request)
        key = str(request.stage.key)
        driver.on_progress(key, {"epoch": 1, "epochs": 2})
        outcome = next(self.script.get(request.stage.name, iter(())), DONE)
        if outcome in (DONE, COMMITTED_THEN_LOST):
            self.commit(request.stage)
        if outcome in (LOST, COMMITTED_THEN_LOST):
            driver.on_worker_lost(key)
        else:
            driver.on_ended(key, None if outcome in (DONE, SILENT) else outcome)

    def commit(self, stage: Stage) -> None:
        folder = self.study.folder(stage)
        folder.begin(stage)
        folder.commit({"status": "done", "key": stage.key, "metrics": {"val_f1_macro": self.scores(stage)}})


def finish(driver: Driver, study: Study, request: TrialRequest) -> None:
    """Commit a request's stage and report its end."""
    InMemory(study).commit(request.stage)
    driver.on_ended(str(request.stage.key), None)
