"""The watcher on a spot node: against a double of EC2's metadata server, and a node of Ray that it has drained."""

from __future__ import annotations

import http.server
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from sweep.cluster.nodes.spot_notice import Metadata, watch

ROOT = Path(__file__).parents[4]


@dataclass
class Ec2:
    """What the metadata server says: nothing, then that the node will be taken. It wants a token that it gave out."""

    endpoint: str = ""
    notice: str | None = None
    token: str = "first"  # noqa: S105 - of a double
    asked: list[str] = field(default_factory=list)
    broken: int = 0


@pytest.fixture
def ec2() -> Iterator[Ec2]:
    state = Ec2()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            state.asked.append("token")
            known = self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
            self._answer(200 if known and self.path == "/latest/api/token" else 400, state.token)

        def do_GET(self) -> None:
            state.asked.append(self.path)
            if self.headers["X-aws-ec2-metadata-token"] != state.token:
                self._answer(401, "")
            elif state.broken:
                state.broken -= 1
                self._answer(500, "")
            elif state.notice is None or self.path != "/latest/meta-data/spot/instance-action":
                self._answer(404, "")
            else:
                self._answer(200, state.notice)

        def _answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


def notice(seconds: float) -> str:
    return f'{{"action": "terminate", "time": "{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))}"}}'


def test_the_notice_is_read_with_a_token_and_says_when(ec2: Ec2) -> None:
    metadata = Metadata(ec2.endpoint)
    assert metadata.notice() is None
    assert metadata.notice() is None
    assert ec2.asked.count("token") == 1, "a token serves for hours"
    ec2.notice = notice(120)
    taken = metadata.notice()
    assert taken is not None
    assert 110 < taken - time.time() <= 120


def test_a_token_that_is_no_longer_taken_is_fetched_anew(ec2: Ec2) -> None:
    metadata = Metadata(ec2.endpoint)
    assert metadata.notice() is None
    ec2.token, ec2.notice = "second", notice(60)
    assert metadata.notice() is None
    assert metadata.notice() is not None


@pytest.mark.parametrize("content", ["{}", '{"action": "stop"}', '{"time": "soon"}', "[]"])
def test_a_notice_without_a_time_leaves_two_minutes(ec2: Ec2, content: str) -> None:
    ec2.notice = content
    taken = Metadata(ec2.endpoint).notice()
    assert taken is not None
    assert 100 < taken - time.time() <= 120


def test_trouble_is_told_once_and_passes(ec2: Ec2) -> None:
    ec2.notice, ec2.broken = notice(100), 3
    said: list[str] = []
    tried: list[float] = []

    def drain(taken: float) -> None:
        tried.append(taken)
        if len(tried) < 3:
            raise RuntimeError("the head does not answer")

    watch(Metadata(ec2.endpoint), drain, said.append, every=0.01)
    assert len(tried) == 3
    assert said[:2] == ["HTTPError: HTTP Error 500: Internal Server Error", "RuntimeError: the head does not answer"]
    assert len(said) == 3
    assert "will be taken away in" in said[2]


def test_a_machine_that_is_not_of_ec2_is_said_and_waited_on(ec2: Ec2) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            Metadata(f"http://127.0.0.1:{nobody.getsockname()[1]}").notice()


@pytest.mark.slow
def test_the_command_has_ray_drain_the_node(ec2: Ec2, tmp_path: Path) -> None:
    folder = Path(os.environ.get("TMPDIR", "/tmp"), f"n{secrets.token_hex(3)}")  # sockets want a short path
    folder.mkdir(mode=0o700)
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray/auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "HOME": str(tmp_path)}
    environment |= {"RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    environment |= {"AWS_EC2_METADATA_SERVICE_ENDPOINT": ec2.endpoint}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    ray, address = str(Path(sys.executable).with_name("ray")), f"127.0.0.1:{port}"
    try:
        head = [ray, "start", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
        subprocess.run([*head, f"--temp-dir={folder}"], env=environment, check=True, timeout=120, capture_output=True)
        watcher = [sys.executable, "-m", "sweep.cluster", "spot", f"--address={address}"]
        with subprocess.Popen(watcher, env=environment, stdout=subprocess.PIPE, text=True) as watching:
            until = time.monotonic() + 60
            while len(ec2.asked) < 2:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert draining(address, environment) == 0
            ec2.notice = notice(90)
            assert watching.wait(timeout=60) == 0
            assert watching.stdout is not None
            assert "this node will be taken away in" in watching.stdout.read()
        assert draining(address, environment) == 1
    finally:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(folder) in " ".join(process.cmdline()):
                    process.kill()


def draining(address: str, environment: dict[str, str]) -> int:
    """Count the nodes that Ray drains, or has drained: one without work is gone at once."""
    code = """
import sys
from ray._private.state import GlobalState
from ray._raylet import GcsClient, GcsClientOptions
from ray.core.generated import common_pb2
state = GlobalState()
options = GcsClientOptions.create(sys.argv[1], None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
state._initialize_global_state(options)
nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10).values()
gone = [n for n in nodes if n.death_info.reason == common_pb2.NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED]
print(len(state.get_draining_nodes()) + len(gone))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, address], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return int(ran.stdout.split()[-1])
