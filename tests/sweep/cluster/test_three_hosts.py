"""Three hosts that are really apart, brought up by ``ray up`` with the file of clusters/: what docs/cluster.md says, done.

The tests stand in the order of a cluster's life, and share one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.sweep.cluster.hosts import PROJECT, USER, Host, command_line, network, wait_for, why_not

ADDRESSES = {
    "laptop": "10.77.0.1",
    "head": "10.77.0.11",
    "worker-1": "10.77.0.12",
    "worker-2": "10.77.0.13",
    "stranger": "10.77.0.66",
}
NODES = ("head", "worker-1", "worker-2")
FILE = "~/ssh.yaml"
OF_RAY = ("/ray/", "ray::")
SERVICES = (
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Pull",
    "NodeInfoGcsService/GetAllNodeInfo",
    "CoreWorkerService/GetCoreWorkerStats",
)
TRIAL = "ray::ResourceTrainable"
"""Begins the title of a trial process; what it does now follows after a point."""

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]  # a busy machine takes five times as long


@dataclass
class Cluster:
    """The three hosts, the laptop that brings them up, and a stranger on their network."""

    hosts: dict[str, Host]
    said: str = ""
    first_seen: dict[str, bytes] = field(default_factory=dict)

    def on_laptop(self, command: str, seconds: float = 300) -> str:
        return self.hosts["laptop"].shell(command, seconds)

    @property
    def nodes(self) -> list[Host]:
        return [self.hosts[name] for name in NODES]

    @property
    def studies(self) -> Path:
        return self.hosts["head"].network.shared / "studies"

    def results(self, study: str) -> dict[str, dict[str, object]]:
        """Stage -> its result. Held to what was seen of it first: nothing is done twice."""
        found = {}
        for file in sorted((self.studies / study).glob("stages/*/result.json")):
            content = file.read_bytes()
            assert self.first_seen.setdefault(file.parent.name, content) == content, (
                f"{file.parent.name} was done twice"
            )
            found[file.parent.name] = json.loads(content)
        return found

    def terminal(self) -> str:
        """What stands in the terminal on the head."""
        return self.hosts["head"].run("tmux", "capture-pane", "-p", "-S", "-500").stdout

    def drivers(self) -> list[object]:
        return [p for p in self.hosts["head"].processes("sweep.run") if command_line(p).startswith("python")]

    def ray_processes(self, host: Host) -> list[str]:
        return [line for p in host.processes() if any(word in (line := command_line(p)) for word in OF_RAY)]


def prepare(hosts: dict[str, Host]) -> None:
    """What docs/cluster.md asks for: a key, a user, and the file with the addresses. The venv is there already."""
    laptop = hosts["laptop"]
    laptop.shell("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519")
    installed = laptop.shell("cat constraints.txt pyproject.toml | sha256sum")
    for name in NODES:
        home = hosts[name].home
        (home / ".ssh/authorized_keys").write_bytes((laptop.home / ".ssh/id_ed25519.pub").read_bytes())
        usual = Path("/etc/skel/.bashrc")
        installed_from = "export PYTHONPATH=~/scenario-sweep\n"  # where clusters/setup.sh would have installed it from
        (home / ".bashrc").write_text((usual.read_text() if usual.exists() else "") + installed_from)
        (venv := home / "venv").mkdir()
        for part in Path(sys.prefix).iterdir():
            if part.name != "pyvenv.cfg":
                (venv / part.name).symlink_to(part)
        if (settings := Path(sys.prefix, "pyvenv.cfg")).exists():
            (venv / "pyvenv.cfg").write_bytes(settings.read_bytes())
        (venv / ".installed").write_text(installed)
    text = (PROJECT / "clusters/ssh.yaml").read_text()
    for old, new in (
        ("head_ip: 192.0.2.10 ", f"head_ip: {ADDRESSES['head']} "),
        ("[192.0.2.11, 192.0.2.12]", f"[{ADDRESSES['worker-1']}, {ADDRESSES['worker-2']}]"),
        ("ssh_user: sweep", f"ssh_user: {USER}"),
        ("ray start --", "ray start --num-cpus=1 --"),  # each host sees all cores of the machine below
    ):
        assert old in text
        text = text.replace(old, new)
    (laptop.home / "ssh.yaml").write_text(text)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, up."""
    if reason := why_not():
        pytest.skip(f"three hosts on this machine: {reason}")
    with network(tmp_path_factory.mktemp("lab") / "lab", ADDRESSES) as hosts:
        prepare(hosts)
        made = Cluster(hosts)
        made.on_laptop("python -m sweep.cluster token")
        made.on_laptop(f"python -m sweep.cluster check {FILE} --storage {made.studies}")
        made.on_laptop(f"RAY_AUTH_MODE=token ray up -y {FILE}", 400)
        made.said = made.on_laptop(f"python -m sweep.cluster wait {FILE} --timeout 300", 400)
        yield made


def submit(cluster: Cluster, study: str) -> None:
    cluster.on_laptop(f"ray exec --tmux {FILE} 'cd scenario-sweep && {study}'")
    wait_for("the driver", cluster.drivers)


@pytest.fixture(scope="module")
def smoke(cluster: Cluster) -> str:
    """A study, submitted and left alone."""
    line = f"python -m sweep.run --grid smoke --set fold=[0,1] --address auto --storage {cluster.studies}"
    submit(cluster, line)
    return line


def test_all_nodes_come_in_and_are_well(cluster: Cluster) -> None:
    assert "3 of 3 nodes: 10.77.0.11, 10.77.0.12, 10.77.0.13" in cluster.said
    said = cluster.on_laptop(f"python -m sweep.cluster doctor {FILE} --storage {cluster.studies}")
    for node in cluster.nodes:
        assert f"{node.address} ({node.name}): Python" in said
        assert (node.home / ".ray/auth_token").stat().st_mode & 0o777 == 0o600
    assert "the cluster is well" in said


LOOK = """
import sys
from ray._raylet import GcsClient
print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)), "nodes")
"""


def listening(host: Host) -> list[tuple[str, int]]:
    """Programs and ports that can be reached from outside, but for ssh."""
    found = []
    for line in host.run("ss", "-Hltnp").stdout.splitlines():
        place, program = line.split()[3], re.findall(r'\(\("([^"]+)', line)
        if not place.startswith("127.") and not place.startswith("[::1]"):
            found.append((program[0], int(place.rpartition(":")[2])))
    return [(program, port) for program, port in found if program != "sshd"]


def ask(host: Host, address: str, port: int) -> set[str]:
    """Call what would tell of a node or change it, by gRPC and by HTTP, without a token; return what comes back.

    gRPC's 16 is "unauthenticated", 12 a service that is not at this port.
    """
    calls = " ".join(f"http://{address}:{port}/ray.rpc.{service}" for service in SERVICES)
    grpc = (
        "printf '\\0\\0\\0\\0\\0' | curl -s -m 20 --http2-prior-knowledge -D - -o /dev/null "
        "-H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- $call"
    )
    http = f"curl -s -m 20 -o /dev/null -w 'http-status: %{{http_code}}' http://{address}:{port}/metrics"
    said = host.run("bash", "-c", f"for call in {calls}; do {grpc}; done; {http}").stdout
    return set(re.findall(r"(grpc-status: \d+|http-status: [1-9]\d+)", said))


REFUSED = {"grpc-status: 16"}, {"grpc-status: 16", "grpc-status: 12"}, {"http-status: 401"}, {"http-status: 403"}


def test_a_stranger_sees_nothing_and_runs_nothing(cluster: Cluster, smoke: str) -> None:
    stranger, head = cluster.hosts["stranger"], cluster.hosts["head"]
    wait_for("trial processes", lambda: all(node.processes(TRIAL) for node in cluster.nodes))
    ports = {node.name: listening(node) for node in cluster.nodes}
    for node in cluster.nodes:
        programs = " ".join(program for program, _ in ports[node.name])
        assert "raylet" in programs
        assert TRIAL[:15] in programs  # so much of a name the kernel keeps
        assert not {port for _, port in ports[node.name]} & {8265, 10001, 52365}  # dashboard, Ray's client, jobs
        for program, port in ports[node.name]:
            # Of calls that come one after the other, one or another gets no answer at all, with a token too.
            answers: set[str] = set()
            for _ in range(10):
                if (answers := answers | ask(stranger, node.address, port)) in REFUSED:
                    break
            assert answers in REFUSED, f"{node.name} {program} {port}: {answers}"

    def begin(host: Host, token: str, line: str) -> subprocess.Popen[str]:
        (host.home / "look.py").write_text(LOOK)
        (host.home / "wrong").write_text("0" * 64)
        return host.popen("bash", "-c", f"{token} {line}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    look = f"python ~/look.py {head.address}:6379"
    join = f"ray start --address={head.address}:6379 --num-cpus=1 --disable-usage-stats"  # who is a node may run all
    ours = begin(cluster.hosts["laptop"], "RAY_AUTH_MODE=token", look)
    for token in ("RAY_AUTH_MODE=disabled", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/wrong"):
        for process in [begin(stranger, token, line) for line in (look, join)]:
            said = process.communicate(timeout=300)[0]
            assert process.returncode != 0
            assert "Authentication token is missing or incorrect" in said, said
    assert "3 nodes" in ours.communicate(timeout=300)[0]


def test_a_host_is_cut_off_comes_back_and_is_used_again(cluster: Cluster, smoke: str) -> None:
    wait_for("a result", lambda: cluster.results("smoke"))
    lost = cluster.hosts["worker-1"]
    wait_for("a stage under way", lambda: lost.processes(f"{TRIAL}.train"))
    lost.cut()
    wait_for("its loss", lambda: "was lost" in cluster.terminal())
    lost.mend()

    # Stop cleanly, and resume.
    cluster.on_laptop(f"ray exec {FILE} 'tmux send-keys C-c'")
    wait_for("the driver to end", lambda: not cluster.drivers())
    assert "this goes on" in cluster.terminal()
    assert "StackTrace" not in cluster.terminal()  # the last words of the raylet that was given up
    before = cluster.results("smoke")
    assert 1 <= len(before) < 28
    said = cluster.on_laptop(f"python -m sweep.cluster wait {FILE} --timeout 300", 400)
    assert "3 of 3 nodes" in said
    submit(cluster, smoke)

    def finished() -> bool:
        cluster.results("smoke")
        return not cluster.drivers()

    wait_for("the study", finished, 900)
    after = cluster.results("smoke")
    assert len(after) == 28, cluster.terminal()
    again = {name: result for name, result in after.items() if name not in before}
    assert {result["environment"]["node"] for result in again.values()} == set(NODES)  # type: ignore[index]
    said = cluster.on_laptop(f"ray exec {FILE} 'cd scenario-sweep && python -m sweep.status {cluster.studies}/smoke'")
    assert re.search(r"finetune +24 ", said), said


WIDE = """\
target: cells
data:
  cells: {reader: generated, generator: blood_cells, images_per_class: 150, size: 48}
split: {folds: 2, val_fraction: 0.3}
architectures:
  tiny_vit: {model: timm/test_vit, options: {patch_size: 8}}
scenarios: {Random: {}}
axes: {architecture: [tiny_vit], fold: [0], learning_rate: [0.001]}
recipe: {image_size: 48, batch_size: 16, precision: float32}
finetune: {epochs: 8}
"""


def test_a_stage_of_two_hosts_loses_one_and_goes_on_from_its_checkpoint(cluster: Cluster) -> None:
    head = cluster.hosts["head"]
    (head.home / "wide.yaml").write_text(WIDE)
    run = (
        f"cd scenario-sweep && python -m sweep.run --grid ~/wide.yaml --widest 2 --checkpoint 0 --address auto "
        f"--storage {cluster.studies}"
    )
    cluster.studies.mkdir(exist_ok=True)
    with (cluster.studies / "said.txt").open("w") as said:
        driver = cluster.hosts["laptop"].popen(
            "ray", "exec", str(cluster.hosts["laptop"].network.folder / "home/ssh.yaml"), run, stdout=said, stderr=said
        )

    def at_work() -> list[Host]:
        return [node for node in cluster.nodes if node.processes("RayTrainWorker")]

    stages = cluster.studies / "wide/stages"
    wait_for("two workers on two hosts", lambda: len(at_work()) == 2)
    wait_for("a checkpoint", lambda: list(stages.glob("*/checkpoint.pt")))
    first = at_work()
    assert len(first) == 2
    victim = next(node for node in first if node is not head)
    assert not cluster.results("wide")
    victim.kill()
    assert driver.wait(timeout=900) == 0, (cluster.studies / "said.txt").read_text()[-3000:]
    (result,) = cluster.results("wide").values()
    assert result["environment"]["world_size"] == 2  # type: ignore[index]
    log = next(stages.glob("*/log.txt")).read_text()
    resumed = re.search(r"resumed after (\d+) epochs", log)
    assert resumed, log
    assert int(resumed[1]) >= 1
    victim.start()
    cluster.on_laptop(f"python -m sweep.cluster wait {FILE} --timeout 300", 400)


def test_results_come_home_and_nothing_is_left(cluster: Cluster) -> None:
    cluster.on_laptop(f"mkdir -p ~/studies && ray rsync-down {FILE} {cluster.studies}/smoke/ ~/studies/smoke/")
    home, there = cluster.hosts["laptop"].home / "studies/smoke", cluster.studies / "smoke"
    for part in ("stages/*/result.json", "report/index.html"):
        brought = {file.relative_to(home): file.read_bytes() for file in home.glob(part)}
        assert brought == {file.relative_to(there): file.read_bytes() for file in there.glob(part)} != {}
    assert re.search(r"finetune +24 ", cluster.on_laptop("python -m sweep.status ~/studies/smoke"))
    said = cluster.on_laptop(f"python -m sweep.cluster down {FILE}", 400)
    assert "Ray is stopped on" in said
    assert {node.name: cluster.ray_processes(node) for node in cluster.nodes} == {name: [] for name in NODES}
