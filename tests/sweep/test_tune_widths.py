"""Stages that need several slots at once, through real Ray Tune and Ray Train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_grid import tiny_grid

from sweep.widths import doubled

ROOT = Path(__file__).parents[2]
PRE_TRAININGS = """
import json
import sys
from pathlib import Path

from sweep.driver import Driver, Watchers
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
inputs = gather(grid, folder, None, folder / "cache")
stages = [stage for stage in make_plan(grid, inputs).stages if stage.kind == "pretrain"]
study = Study(Storage(folder / "study"))
for split in inputs.splits.values():
    study.write_split(split.digest, split.table)
with ray_session(None) as capacity:
    from sweep import room, tune

    tasks = [Task(str(stage.key), (), 1.0, widest=width, narrowest=width) for stage in stages]
    site = Site({name: str(data.folder) for name, data in inputs.data.items()}, {})
    driver = Driver(Schedule(tasks), stages, study, site, Watchers(), Workers())
    tune.run(driver, room.ClusterRoom(capacity, Workers(), driver, room.Asked(), lambda key: None), Workers())
worlds = [result["environment"]["world_size"] for result in study.committed(stages).values()]
print(json.dumps({"states": list(driver.states.values()), "worlds": worlds}))
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(not 2 <= len(os.sched_getaffinity(0)) < 16, reason="wants 2 to 15 CPUs: a batch of 8 is divided")
def test_two_stages_wider_than_the_rest_of_the_cluster_take_turns_and_finish(tmp_path: Path) -> None:
    """Each takes more than half of the slots. Were both let in at once, neither would ever begin."""
    network = "{model: torchvision/squeezenet1_1, options: {dropout: 0.0}}"  # on CPUs without batch norm
    text = tiny_grid(images=8, pretrain_epochs=1, finetune_epochs=1).replace("{model: timm/test_resnet}", network)
    (tmp_path / "grid.yaml").write_text(text.replace("[0.02, 0.05]", "0.002\n  seed: [0, 1]"))
    width = doubled(1, len(os.sched_getaffinity(0)))
    done = subprocess.run(
        [sys.executable, "-c", PRE_TRAININGS, str(tmp_path), str(width)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"states": ["done", "done"], "worlds": [width, width]}
