"""A driver over a small plan, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.engine.driver import Driver
from sweep.engine.trial_request import TrialOptions
from sweep.plan.plan import Plan
from sweep.schedule.scheduler import Budgets, Scheduler, Task
from tests.sweep.support.in_memory_backend import RUNTIME, WORKER, Recorder
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture
def plan(planned: Callable[..., Plan], grid_text: str) -> Plan:
    return planned(grid_text)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(Storage(tmp_path / "a study"))


@pytest.fixture
def clock() -> list[float]:
    """A clock that is set by hand."""
    return [0.0]


@pytest.fixture
def drive(plan: Plan, study: Study, clock: list[float]) -> Callable[..., tuple[Driver, Recorder]]:
    def make(budgets: Budgets | None = None, plan: Plan = plan, widest: int = 1) -> tuple[Driver, Recorder]:
        recorder = Recorder()
        tasks = [Task(str(stage.key), stage.upstream, 1.0, widest) for stage in plan.stages]
        schedule = Scheduler(tasks, study.committed(plan.stages), budgets)
        return Driver(schedule, plan.stages, study, RUNTIME, recorder, TrialOptions(WORKER), lambda: clock[0]), recorder

    return make
