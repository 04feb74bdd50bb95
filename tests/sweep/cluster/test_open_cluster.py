"""A cluster that lets anyone in is refused, unless one says that it may."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sweep.cluster.hosts import PROJECT, free_port, kill_all
from tests.sweep.support.tiny_grid import tiny_grid

pytestmark = pytest.mark.slow

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def opened() -> Iterator[tuple[str, Command]]:
    """A cluster without authentication on this machine; its address, and a way to call the project's commands."""
    with tempfile.TemporaryDirectory(prefix="op", ignore_cleanup_errors=True) as name:  # sockets want a short path
        folder = Path(name)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = {**kept, "HOME": name, "RAY_TMPDIR": name, "PYTHONPATH": str(PROJECT)}

        def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", *arguments]
            return subprocess.run(
                line, cwd=folder, env=environment | more, capture_output=True, text=True, timeout=300, check=False
            )

        try:
            address = f"127.0.0.1:{free_port()}"
            head = [
                "start",
                "--head",
                "--node-ip-address=127.0.0.1",
                f"--port={address.partition(':')[2]}",
                "--num-cpus=1",
            ]
            started = call("ray.scripts.scripts", *head, "--include-dashboard=false", RAY_AUTH_MODE="disabled")
            assert started.returncode == 0, started.stderr
            yield address, call
        finally:
            kill_all(name)


def test_an_open_cluster_is_refused_unless_one_says_that_it_may_be(opened: tuple[str, Command], tmp_path: Path) -> None:
    address, call = opened
    (tmp_path / "tiny.yaml").write_text(tiny_grid(images=6, pretrain_epochs=1, finetune_epochs=1))
    only = [part for axis in ("fold=[0]", "scenario=[Random]", "learning_rate=[0.02]") for part in ("--set", axis)]
    line = ["sweep.run", "--grid", str(tmp_path / "tiny.yaml"), *only, "--storage", str(tmp_path / "studies")]
    refused = call(*line, "--address", address)
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert f"the Ray cluster at {address} is open: anyone who reaches it can run programs on it" in said
    assert "--allow-open-cluster" in said
    assert "Traceback" not in said
    assert list(tmp_path.glob("studies/tiny/stages/*")) == []

    assert call("sweep.cluster", "token").returncode == 0  # one that is at hand changes nothing
    examined = call("sweep.cluster", "doctor", "--address", address)
    assert examined.returncode == 1
    assert ": Python 3" in examined.stdout
    assert "can run programs on it. Start it with a token" in " ".join(examined.stderr.split())
    allowed = call(*line, "--address", address, "--allow-open-cluster")
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert len(list(tmp_path.glob("studies/tiny/stages/*/result.json"))) == 1
    nobody = call("sweep.cluster", "wait", "--address", f"127.0.0.1:{free_port()}", "--timeout", "1")
    assert nobody.returncode == 1
