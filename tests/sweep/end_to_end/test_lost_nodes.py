"""Nodes that go while stages run on them, in a real cluster of several Ray nodes on this machine."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.sweep.support.tiny_grid import tiny_grid

ROOT = Path(__file__).parents[3]
RAY = str(Path(sys.executable).with_name("ray"))
GRID = tiny_grid(images=12, pretrain_epochs=30, finetune_epochs=30)
WIDE = """\
target: cells
data:
  cells: {reader: generated, generator: blood_cells, images_per_class: 160, size: 32}
split: {folds: 2, val_fraction: 0.3}
architectures:
  tiny: {model: timm/test_vit}   # no batch norm: several CPU workers may share it
scenarios:
  Random: {}
axes:
  architecture: [tiny]
  fold: [0]
  learning_rate: [0.02]
recipe: {image_size: 32, batch_size: 8}
finetune: {epochs: 15}
"""

pytestmark = pytest.mark.cluster


@dataclass
class Cluster:
    """A head without CPUs, and nodes of one CPU each, with authentication."""

    folder: Path
    environment: dict[str, str]
    address: str = ""
    raylets: dict[str, psutil.Process] = field(default_factory=dict)

    def ray(self, *arguments: str) -> str:
        ran = subprocess.run(
            [RAY, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def add(self, name: str) -> None:
        """Start a node that tells its name as a resource."""
        self.ray("start", f"--address={self.address}", "--num-cpus=1", f"--resources={json.dumps({name: 1})}")
        (self.raylets[name],) = _raylets(self.folder, name)

    def node_ids(self) -> dict[str, str]:
        """Name -> Ray's id of the node."""
        code = (
            "import json, ray; ray.init(address='auto', logging_level='ERROR'); print(json.dumps("
            "{r: n['NodeID'] for n in ray.nodes() if n['Alive'] for r in n['Resources'] if r.startswith('node-')}))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**self.environment, "RAY_ADDRESS": self.address},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return dict(json.loads(ran.stdout.splitlines()[-1]))

    def drain(self, name: str, node_id: str | None = None) -> None:
        """Tell Ray that the node is about to be taken, as a spot notice does."""
        self.ray(
            "drain-node",
            f"--address={self.address}",
            f"--node-id={node_id or self.node_ids()[name]}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=spot notice",
            "--deadline-remaining-seconds=60",
        )

    def workers(self) -> list[str]:
        """The nodes on which Ray Train's workers are, once for each."""
        titles = [(name, " ".join(_cmdline(p))) for name in self.raylets for p in self._children(name)]
        return [name for name, title in titles if "RayTrainWorker" in title]

    def _children(self, name: str) -> list[psutil.Process]:
        try:
            return self.raylets[name].children(recursive=True)
        except psutil.Error:
            return []

    def trials(self, name: str, doing: str = "") -> list[psutil.Process]:
        """The trial processes of a node, or those that are at something now: Ray writes it into their title."""
        titles = [(p, " ".join(_cmdline(p))) for p in self.raylets[name].children(recursive=True)]
        return [p for p, title in titles if ("Trial" in title or "Trainable" in title) and doing in title]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _raylets(folder: Path, name: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter()
        if (line := _cmdline(process))
        and line[0].endswith("raylet/raylet")
        and all(word in " ".join(line) for word in (str(folder), name))
    ]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(os.environ.get("TMPDIR", "/tmp"), f"n{secrets.token_hex(3)}")  # sockets want a short path
    folder.mkdir(mode=0o700)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)}
    made = Cluster(folder, environment)
    try:
        with _free_port() as port:
            made.address = f"127.0.0.1:{port}"
        made.ray(
            "start",
            "--head",
            "--node-ip-address=127.0.0.1",
            f"--port={port}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--temp-dir={folder}",
        )
        yield made
    finally:
        for process in psutil.process_iter():
            if str(folder) in " ".join(_cmdline(process)):
                for one in [*process.children(recursive=True), process]:
                    with suppress(psutil.Error):
                        one.kill()


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        yield int(found.getsockname()[1])


@dataclass
class Run:
    """A study on the cluster, by the real command."""

    folder: Path
    grid: str = GRID

    @property
    def study(self) -> Path:
        return self.folder / "studies/tiny"

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def start(self, environment: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "tiny.yaml").write_text(self.grid)
        command = [sys.executable, "-m", "sweep.run", "--grid", "tiny.yaml", *more]
        with (self.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=said, stderr=subprocess.STDOUT)

    def ends(self, driver: subprocess.Popen[bytes], seconds: float = 240) -> None:
        """Wait for the end, which is to be a good one; where it does not come, tell what there is."""
        try:
            status = driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            titles = [" ".join(_cmdline(process)) for process in psutil.process_iter()]
            there = "\n".join(title[:200] for title in titles if title.startswith("ray::") or "raylet/raylet" in title)
            pytest.fail(f"no end within {seconds:g} s:\n{self.said}\n{there}")
        assert status == 0, self.said

    def epochs(self, kind: str) -> int:
        """How many epochs a running stage of a kind has done: its log is written at its end, the heartbeat before."""
        try:
            running = json.loads((self.study / "running.json").read_text())["running"].values()
        except (OSError, ValueError):
            return 0
        return max((int(stage["epoch"]) for stage in running if stage["kind"] == kind), default=0)

    def results(self) -> dict[str, dict[str, str]]:
        """Stage -> digests of what it made."""
        return {
            file.parent.name: {
                name: digest
                for name, digest in json.loads(file.read_text())["digests"].items()
                if name != "history.parquet"  # it has the seconds
            }
            for file in self.study.glob("stages/*/result.json")
        }


def wait_for(what: str, found: object, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not found():  # type: ignore[operator]
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.1)


@pytest.mark.timeout(600)
def test_stages_leave_nodes_that_go_and_end_with_the_same_bits(cluster: Cluster, tmp_path: Path) -> None:
    """One node is drained, one is killed, two come: nothing is lost, nothing is done twice, no bit differs."""
    quiet = Run(tmp_path / "quiet")
    undisturbed = quiet.start({name: value for name, value in cluster.environment.items() if name != "RAY_TMPDIR"})
    cluster.add("node-a")
    cluster.add("node-b")
    quiet.ends(undisturbed)

    run = Run(tmp_path / "disturbed")
    driver = run.start(cluster.environment, f"--address={cluster.address}")
    try:
        wait_for("two results", lambda: len(run.results()) >= 2)
        wait_for("a stage on node-a", lambda: cluster.trials("node-a"))
        cluster.drain("node-a")
        wait_for("the stages to leave node-a", lambda: not cluster.trials("node-a"))
        cluster.add("node-c")
        wait_for("a stage on node-c", lambda: cluster.trials("node-c"))
        wait_for("a stage that trains on node-b", lambda: cluster.trials("node-b", doing=".train"))
        before = run.results()
        cluster.raylets["node-b"].kill()
        run.ends(driver)
    finally:
        driver.kill()
    found = run.results()
    assert found == quiet.results()
    assert {name: found[name] for name in before} == before
    assert "its node is about to be taken away" in run.said
    assert "the process or node that ran it was lost" in run.said
    logs = [(folder / "log.txt").read_text() for folder in run.study.glob("stages/*")]
    assert any("resumed after" in log for log in logs)
    assert "Traceback" not in run.said


@pytest.mark.timeout(600)  # Ray Train starts three times, on what other tests leave of the machine
def test_a_stage_of_several_workers_leaves_a_node_that_is_drained(cluster: Cluster, tmp_path: Path) -> None:
    """It saves within an epoch, begins on other nodes at once, and ends with the bits of one that was left alone."""
    quiet = Run(tmp_path / "quiet", WIDE)
    here = {name: value for name, value in cluster.environment.items() if name != "RAY_TMPDIR"}
    undisturbed = quiet.start(here, "--widest=2")
    for name in ("node-a", "node-b", "node-c"):
        cluster.add(name)
    node_ids = cluster.node_ids()
    quiet.ends(undisturbed)

    run = Run(tmp_path / "disturbed", WIDE)
    driver = run.start(cluster.environment, f"--address={cluster.address}", "--widest=2")
    try:
        wait_for("two workers that train", lambda: len(cluster.workers()) == 2 and run.epochs("finetune") >= 1)
        victim = cluster.workers()[0]
        cluster.drain(victim, node_ids[victim])
        wait_for("the workers to leave it", lambda: "about to be taken away" in run.said, seconds=30)
        assert run.results() == {}
        run.ends(driver)
    finally:
        driver.kill()
    assert run.results() == quiet.results()
    assert "Traceback" not in run.said
    one, other = (next(ran.study.glob("stages/finetune-*")) for ran in (quiet, run))
    assert json.loads((other / "result.json").read_text())["environment"]["world_size"] == 2
    assert re.search(r"resumed after [1-9]\d* epochs and [1-9]\d* steps", (other / "log.txt").read_text())
    for seen in ("accuracy", "f1_macro", "loss"):  # of the images that were seen before it left, too
        first, second = (pq.read_table(folder / "history.parquet")[seen].to_pylist() for folder in (one, other))
        assert second == pytest.approx(first, rel=1e-6)
