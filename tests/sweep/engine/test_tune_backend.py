"""Trial processes through real Ray Tune: one for each slot, all started at once, and used to the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sweep.engine import tune_backend
from sweep.engine.driver import Driver
from sweep.engine.ray_session import ray_session
from sweep.plan.inputs import Inputs, gather
from sweep.plan.plan import make_plan
from sweep.schedule.scheduler import Scheduler, Task
from tests.sweep.support.tiny_grid import tiny_grid
from trainables.runtime import RuntimeContext
from trainables.specs import Stage
from trainables.store.storage import Storage
from trainables.store.study import Study

SLOTS = 2


class TwoSlots:
    """A cluster of two slots that does not grow."""

    def slots(self) -> int:
        return SLOTS

    def headroom(self) -> int:
        return 0

    def slots_per_node(self) -> int:
        return SLOTS


class Notes:
    """Notes how many stages were handed out when each began."""

    driver: Driver

    def __init__(self) -> None:
        self.handed_out: list[int] = []

    def started(self, stage: Stage, attempt: int) -> None:
        self.handed_out.append(len(self.driver.slots.dispatched))

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        pass

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        pass

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        pytest.fail(f"{stage.name}: {error}")


@pytest.mark.slow
def test_all_trial_processes_start_at_once_and_serve_all_stages(load: Callable[..., Any], tmp_path: Path) -> None:
    grid = load(tiny_grid(images=6, pretrain_epochs=1, finetune_epochs=1), "scenario=[Random]")
    inputs: Inputs = gather(grid, tmp_path, None, tmp_path / "cache", lambda *_: None)
    stages = make_plan(grid, inputs).stages
    study = Study(Storage(tmp_path / "study"))
    for split in inputs.splits.values():
        study.write_split(split.digest, split.table)
    runtime = RuntimeContext({name: str(data.folder.absolute()) for name, data in inputs.data.items()}, {})
    notes = Notes()
    schedule = Scheduler([Task(str(stage.key), stage.upstream, 1.0) for stage in stages])
    with ray_session(None):
        driver = notes.driver = Driver(schedule, stages, study, runtime, notes)
        tune_backend.run(driver, TwoSlots())
    results = study.committed(stages).values()
    assert len(results) == len(stages) == 4
    # Were the second asked for only when the first had begun, a cluster would start its processes one by one.
    assert notes.handed_out[0] >= SLOTS
    assert len({result["environment"]["process"] for result in results}) <= SLOTS
