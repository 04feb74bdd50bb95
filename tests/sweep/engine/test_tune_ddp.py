"""Stages that need several slots at once, through real Ray Tune: of several workers, or for their memory.

Ray Train is played by what it does to a cluster: a stage of several workers reserves a place for each, waits until it has
them, and gives them back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sweep.schedule.parallelism import largest_doubling
from tests.sweep.support.tiny_grid import tiny_grid

ROOT = Path(__file__).parents[3]
PRELUDE = """
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import ray

from sweep.engine.callbacks import CallbackList
from sweep.engine.trial_request import TrialRequest
from sweep.engine.driver import Driver
from sweep.plan.inputs import gather
from sweep.grid.loader import load_grid
from sweep.plan.plan import make_plan
from sweep.engine.ray_session import ray_session
from sweep.schedule.scheduler import Scheduler, Task
from trainables.runtime import RuntimeContext, Workers
from trainables.store.storage import Storage
from trainables.store.study import Study

folder, width = Path(sys.argv[1]), int(sys.argv[2])
grid = load_grid(str(folder / "grid.yaml"))
stages = make_plan(grid, gather(grid, folder, None, folder / "cache")).stages
study = Study(Storage(folder / "study"))


def run(tasks, work):
    with ray_session(None) as capacity:
        from sweep.engine.capacity import ClusterCapacity
        from sweep.engine import tune_backend as tune

        class Working(tune.StageTrial):
            def _begin(self, config):
                self._epochs = work(TrialRequest.loads(config["request"]))

        tune.StageTrial = Working
        driver = Driver(Scheduler(tasks), stages, study, RuntimeContext({}, {}), CallbackList())
        tune.run(driver, ClusterCapacity(capacity, Workers()))
    print(json.dumps([study.committed(stages)[task.key] for task in tasks]))


def commit(request, seconds):
    began = time.time()
    time.sleep(seconds)
    yield {"epoch": 1, "epochs": 1, "metrics": {}}
    result = {"status": "done", "key": request.stage.key, "workers": request.workers.count, "cpus": request.workers.cpus}
    result |= {"began": began, "ended": time.time(), "metrics": {}}
    Study(Storage(request.study)).folder(request.stage).commit(result)
"""
HELD = """
def hold(request):
    place = None
    if request.workers.count > 1:
        place = ray.util.placement_group([{"CPU": 1}] * request.workers.count)
        ray.get(place.ready())
    yield from commit(request, 0.3)
    if place is not None:
        ray.util.remove_placement_group(place)


n1, w1, w2, n2, w3 = keys = [str(stage.key) for stage in stages[:5]]
needs = {n1: (), w1: (n1,), w2: (n1,), n2: (w1,), w3: (n2,)}
widths = {key: width if key in (w1, w2, w3) else 1 for key in keys}
run([Task(key, needs[key], 1.0, widths[key], widths[key]) for key in keys], hold)
"""
CROWDED = """
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

from sweep.compat import ray as compat

before = compat.out_of_memory_as_lost


@contextmanager
def as_if_the_monitor_had(report):  # it looks at the memory of the whole machine, which a test cannot fill
    with before(report):
        told = RayActorManager._actor_task_failed

        def of_memory(self, tracked_actor_task, exception):
            told(self, tracked_actor_task, OutOfMemoryError("") if isinstance(exception, RayActorError) else exception)

        RayActorManager._actor_task_failed = of_memory
        yield


def starve(request):
    if request.stage.key != first and request.workers.cpus < width:
        os.kill(os.getpid(), signal.SIGKILL)
    yield from commit(request, 0.3)


compat.out_of_memory_as_lost = as_if_the_monitor_had
first = str(stages[0].key)
run([Task(str(stage.key), (), 9.0 if stage.key == first else 1.0) for stage in stages[:5]], starve)
"""


def results_of(script: str, folder: Path, width: int) -> list[dict[str, Any]]:
    """Run five stages by a script; return their results."""
    (folder / "grid.yaml").write_text(tiny_grid(images=6, pretrain_epochs=1, finetune_epochs=1))
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, str(folder), str(width)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


WIDTH = largest_doubling(1, len(os.sched_getaffinity(0)))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(WIDTH < 2, reason="wants 2 CPUs"),
]


def in_turns(results: Iterable[dict[str, Any]]) -> bool:
    """Say whether none ran beside another."""
    ordered = sorted(results, key=lambda result: float(result["began"]))
    return all(earlier["ended"] <= later["began"] for earlier, later in pairwise(ordered))


def test_two_stages_wider_than_the_rest_of_the_cluster_take_turns_and_finish(tmp_path: Path) -> None:
    """Each takes more than half of the slots, and narrow ones before them leave a warm process that holds a place."""
    results = results_of(HELD, tmp_path, WIDTH)
    assert [result["workers"] for result in results] == [1, WIDTH, WIDTH, 1, WIDTH]
    assert in_turns(results[i] for i in (1, 2, 4))


def test_stages_killed_for_want_of_memory_run_alone_in_the_end(tmp_path: Path) -> None:
    """All but the first are killed by themselves wherever they hold less than the node, and Ray's error is put in place."""
    first, *others = results_of(CROWDED, tmp_path, WIDTH)
    assert first["cpus"] == 1
    assert [result["cpus"] for result in others] == [WIDTH] * 4
    assert in_turns([first, *others])
