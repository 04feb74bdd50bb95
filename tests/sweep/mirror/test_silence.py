"""What the W&B client has to say, about servers that are unwell above all, does not reach the terminal of a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.sweep.mirror.wandb_server import Fault, WandbServer
from trainables.store.study import Study

BEGIN = """
import sys, time
from sweep.mirror import mode
from trainables.store.storage import Storage
from trainables.store.study import Study
mode.CREATE_SECONDS = 5.0
mode.decide(mode.MirrorOptions(), Study(Storage(sys.argv[1])), lambda line: print("said", line))
time.sleep(3)  # the client tries again meanwhile
"""


@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault("UpsertSweep", 400),
        Fault("UpsertSweep", 429),
        Fault("UpsertSweep", 500),
        Fault("UpsertSweep", seconds=7),
    ],
    ids=["well", "400", "429", "500", "slow"],
)
def test_a_run_that_begins_says_its_own_lines_alone(study: Study, server: WandbServer, fault: Fault | None) -> None:
    if fault is not None:
        server.faults.append(fault)
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, study.storage.path()], capture_output=True, text=True, timeout=100
    )
    assert done.stderr == ""
    assert done.stdout
    assert all(line.startswith("said W&B: ") for line in done.stdout.splitlines())
    assert server.asked["UpsertSweep"]


@pytest.mark.parametrize("status", [400, 404])
def test_a_command_that_fails_says_one_line(study: Study, server: WandbServer, status: int) -> None:
    server.faults.append(Fault("UpsertSweep", status))
    command = [sys.executable, "-m", "sweep.wandb", "attach", study.storage.path()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: W&B: ")
    assert done.stderr.count("\n") == 1
