"""A cluster that begins without a worker: the real command, Ray's own autoscaler, nodes that are processes of this machine.

The storage is an object store, and no node sees the disk of the driver: data come by way of the storage.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.sweep.support.tiny_grid import tiny_grid

pytest.importorskip("moto")
from tests.s3_double import BUCKET, S3Double, s3_double

ROOT = Path(__file__).parents[3]
GRID = tiny_grid(images=12, pretrain_epochs=3, finetune_epochs=3)
HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
HEAD_TYPE = "ray.head.default"
"""Ray's names of the head, and of its kind, among fake nodes."""

pytestmark = pytest.mark.slow


@dataclass
class Cluster:
    """A head without CPUs whose autoscaler may start two nodes of one CPU."""

    folder: Path
    environment: dict[str, str]
    port: int
    s3: S3Double

    @property
    def file(self) -> Path:
        return self.folder / "cluster.yaml"

    def start(self) -> None:
        worker = {"CPU": 1, "object_store_memory": 80_000_000}
        content = {
            "cluster_name": "fake",
            "max_workers": 2,
            "upscaling_speed": 8.0,
            "idle_timeout_minutes": 0.1,
            "provider": {
                "type": "external",  # Ray's own for `fake_multinode` lacks a file in the wheel
                "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
                "launch_multiple": True,
                "disable_node_updaters": True,
                "head_node_id": HEAD_ID,
                "gcs_address": f"127.0.0.1:{self.port}",
            },
            "auth": {"ssh_user": "nobody"},
            **{name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands")},
            **{name: [] for name in ("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")},
            **{name: [] for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
            **{name: {} for name in ("file_mounts", "docker")},
            "head_node_type": HEAD_TYPE,
            "available_node_types": {
                HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": 2},
            },
        }
        self.file.write_text(yaml.safe_dump(content))
        fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1"}
        fake |= {"RAY_CLOUD_INSTANCE_ID": HEAD_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID}
        command = [
            *("start", "--head", "--node-ip-address=127.0.0.1", f"--port={self.port}", "--num-cpus=0"),
            *("--include-dashboard=false", f"--temp-dir={self.folder}", f"--autoscaling-config={self.file}"),
        ]
        ran = subprocess.run(
            [str(Path(sys.executable).with_name("ray")), *command],
            env=self.environment | fake,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def workers(self) -> int:
        """How many nodes there are beside the head."""
        return sum(line[0].endswith("raylet/raylet") for _, line in self._processes()) - 1

    def kill(self) -> None:
        for process, _ in self._processes():
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.Error):
                    one.kill()

    def _processes(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = process.cmdline()
                if line and str(self.folder) in " ".join(line):
                    yield process, line


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = Path(os.environ.get("TMPDIR", "/tmp"), f"n{secrets.token_hex(3)}")  # sockets want a short path
    folder.mkdir(mode=0o700)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    with socket.socket() as found, s3_double(tmp_path) as s3:
        found.bind(("127.0.0.1", 0))
        environment = {name: value for name, value in s3.environment.items() if not name.startswith("RAY_")}
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}
        environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder), "HOME": str(tmp_path)}
        made = Cluster(
            folder, environment | {"SWEEP_CACHE": str(tmp_path / "a node's disk")}, found.getsockname()[1], s3
        )
        found.close()
        try:
            made.start()
            yield made
        finally:
            made.kill()


def wait_for(what: str, found: object, driver: subprocess.Popen[bytes] | None = None, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert driver is None or driver.poll() is None, f"the driver ended before {what}"
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def test_nodes_come_by_need_fetch_the_data_once_and_go(cluster: Cluster, tmp_path: Path) -> None:
    s3 = cluster.s3
    (tmp_path / "tiny.yaml").write_text(GRID)
    own_disk = tmp_path / "the driver's disk"
    assert cluster.workers() == 0
    command = ["--grid", "tiny.yaml", "--storage", f"s3://{BUCKET}/studies", f"--address=127.0.0.1:{cluster.port}"]
    said = tmp_path / "said.txt"
    with said.open("wb") as stream:
        driver = subprocess.Popen(
            [sys.executable, "-m", "sweep.run", *command, "--cluster", str(cluster.file)],
            cwd=tmp_path,
            env=cluster.environment | {"SWEEP_CACHE": str(own_disk)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for("the data on the storage", lambda: len(lists(s3)) == 2, driver)
        (own_disk / "data").rename(own_disk / "out of sight")
        wait_for("two nodes", lambda: cluster.workers() == 2, driver)
        assert driver.wait(timeout=240) == 0, said.read_text()
    finally:
        driver.kill()
    results = [key for key in s3.keys("studies/tiny/stages/") if key.endswith("/result.json")]
    assert len(results) == 9, said.read_text()
    for data in lists(s3):
        shards = [key for key in s3.keys(data.removesuffix("whole.json")) if key.endswith(".rgb")]
        assert shards
        assert [s3.requests("GET", shard) for shard in shards] == [1] * len(shards)
    wait_for("the nodes to go", lambda: cluster.workers() == 0)
    assert "Traceback" not in said.read_text()


def lists(s3: S3Double) -> list[str]:
    return [key for key in s3.keys("studies/.cache/data/") if key.endswith("/whole.json")]
