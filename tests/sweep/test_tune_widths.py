"""Stages that need several slots at once, through real Ray Tune. Ray Train is played by what it does to a cluster:
a stage of several workers reserves a place for each, waits until it has them, and gives them back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tiny_grid import tiny_grid

from sweep.widths import doubled

ROOT = Path(__file__).parents[2]
HELD = """
import json
import sys
import time
from pathlib import Path

import ray

from sweep.driver import Driver, Order, Watchers
from sweep.inputs import gather
from sweep.load import load_grid
from sweep.plan import make_plan
from sweep.ray_session import ray_session
from sweep.schedule import Schedule, Task
from trainables.site import Site, Workers
from trainables.storage import Storage
from trainables.study import Study

folder, width = Path(sys.argv[1]), int(sys.argv[2])
grid = load_grid(str(folder / "grid.yaml"))
stages = make_plan(grid, gather(grid, folder, None, folder / "cache")).stages
study = Study(Storage(folder / "study"))


def hold(order):
    count, place = order.workers.count, None
    if count > 1:
        place = ray.util.placement_group([{"CPU": 1}] * count)
        ray.get(place.ready())
    began = time.time()
    time.sleep(0.3)
    yield {"epoch": 1, "epochs": 1, "shown": {}}
    result = {"status": "done", "key": order.stage.key, "workers": count, "began": began, "ended": time.time()}
    Study(Storage(order.study)).folder(order.stage).commit({**result, "metrics": {}})
    if place is not None:
        ray.util.remove_placement_group(place)


with ray_session(None) as capacity:
    from sweep import room, tune

    class Holding(tune.StageTrial):
        def _begin(self, config):
            self._epochs = hold(Order.loads(config["order"]))

    tune.StageTrial = Holding
    n1, w1, w2, n2, w3 = keys = [str(stage.key) for stage in stages[:5]]
    needs = {n1: (), w1: (n1,), w2: (n1,), n2: (w1,), w3: (n2,)}
    widths = {key: width if key in (w1, w2, w3) else 1 for key in keys}
    tasks = [Task(key, needs[key], 1.0, widths[key], widths[key]) for key in keys]
    driver = Driver(Schedule(tasks), stages, study, Site({}, {}), Watchers(), Workers())
    tune.run(driver, room.ClusterRoom(capacity, Workers(), driver, room.Asked(), lambda key: None), Workers())
print(json.dumps([study.committed(stages)[key] for key in keys]))
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="wants 2 CPUs")
def test_two_stages_wider_than_the_rest_of_the_cluster_take_turns_and_finish(tmp_path: Path) -> None:
    """Each takes more than half of the slots, and narrow ones before them leave a warm process that holds a place."""
    (tmp_path / "grid.yaml").write_text(tiny_grid(images=6, pretrain_epochs=1, finetune_epochs=1))
    width = doubled(1, len(os.sched_getaffinity(0)))
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(tmp_path), str(width)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert [result["workers"] for result in results] == [1, width, width, 1, width]
    wide = sorted((results[i] for i in (1, 2, 4)), key=lambda result: float(result["began"]))
    assert all(earlier["ended"] <= later["began"] for earlier, later in pairwise(wide)), "in turns"
