"""Whole studies on an object store: the real command against a server that speaks S3, through a wire that can be cut."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.sweep.support.tiny_grid import tiny_grid
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import Study

pytest.importorskip("moto.server")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

ROOT = Path(__file__).parents[3]
STUDY = "s3://bucket/of studies/tiny"
FINISHED = r"\[\d/9\]"
USER = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "not-a-real-one"}


class Wire:
    """A port of its own before the server's. While it is cut, it lets nobody in and drops who was."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cut = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        self.cut = True
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.drop()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for here, there in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while content := here.recv(1 << 16):
                there.sendall(content)
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(port: int, method: str, path: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    assert connection.getresponse().status == 200
    connection.close()


def serve(log: Path, **environment: str) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment})
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError):
            ask(port, "GET", "/moto-api/data.json")
            return server, port
        time.sleep(0.1)
    server.kill()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    server, port = serve(tmp_path_factory.mktemp("server") / "log")
    wire = Wire(port)
    try:
        ask(port, "PUT", "/bucket")
        yield wire
    finally:
        wire.close()
        server.kill()
        server.wait()


@pytest.fixture
def settings(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and all it starts find the server, and nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    there = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{wire.port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**USER, **there, "AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are given: with a grid, and a home of its own for caches."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "tiny.yaml").write_text(tiny_grid(images=6, pretrain_epochs=2, finetune_epochs=40))
    return tmp_path


def command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(module, *arguments), cwd=folder, capture_output=True, text=True, timeout=200)


def sweep(storage: str) -> list[str]:
    return command("sweep.run", "--grid", "tiny.yaml", "--storage", storage)


def start(folder: Path, storage: str) -> subprocess.Popen[str]:
    log = (folder / "driver.log").open("a")
    with log:
        return subprocess.Popen(sweep(storage), cwd=folder, stdout=log, stderr=log, text=True)


def results(study: Study) -> dict[str, dict[str, Any]]:
    return {folder.name: result for folder in study.folders() if (result := folder.result()) is not None}


def await_line(pattern: str, driver: subprocess.Popen[str], log: Path, before: str = "") -> None:
    """Wait until this driver, not one before it, has said something."""
    until = time.monotonic() + 150
    while not re.search(pattern, log.read_text().removeprefix(before)):
        if driver.poll() is not None:
            assert re.search(pattern, log.read_text().removeprefix(before)), log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def outcome(study: Study) -> dict[str, Any]:
    """What is alike wherever a study lies."""
    return {
        name: {"metrics": result["metrics"], "weights": result["digests"].get("weights.safetensors")}
        for name, result in results(study).items()
    }


def test_killed_cut_off_and_resumed_it_ends_as_on_a_disk(folder: Path, wire: Wire) -> None:
    storage = STUDY.rpartition("/")[0]
    study, log = Study(Storage(STUDY)), folder / "driver.log"

    driver = start(folder, storage)
    try:
        await_line(FINISHED, driver, log)
        second = subprocess.run(sweep(storage), cwd=folder, capture_output=True, text=True, timeout=100)
        assert second.returncode == 3, second.stdout + second.stderr
        assert f"process {driver.pid} on" in second.stdout + second.stderr
        assert "running" in run(folder, "sweep.status", STUDY).stdout
        kept = results(study)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()

    before = log.read_text()
    driver = start(folder, storage)  # at once: the lease of one that died here is free
    try:
        await_line(FINISHED, driver, log, before)
        wire.drop()
        await_line("NETWORK_CONNECTION", driver, log, before)
        wire.cut = False
        status = driver.wait(timeout=150)
    finally:
        driver.kill()
        wire.cut = False
    said = log.read_text()
    assert "Traceback" not in said
    assert status == 0 or (status == 1 and "python -m sweep.run --grid tiny.yaml --storage" in said), said
    kept |= results(study)

    again = subprocess.run(sweep(storage), cwd=folder, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stdout + again.stderr
    found = results(study)
    assert {name: found[name] for name in kept} == kept, "a finished stage was done twice"
    assert len(found) == 9
    assert not study.storage.exists(layout.DRIVER)

    here = subprocess.run(sweep("here"), cwd=folder, capture_output=True, text=True, timeout=200)
    assert here.returncode == 0, here.stdout + here.stderr
    assert outcome(study) == outcome(Study(Storage(folder / "here/tiny")))

    status_now = run(folder, "sweep.status", "--json", STUDY)
    assert status_now.returncode == 0, status_now.stderr
    assert {stage["state"] for stage in json.loads(status_now.stdout)["stages"]} == {"done"}
    scores = study.storage.read("report/tables/scores.csv")
    study.storage.remove("report/tables/scores.csv")
    report = run(folder, "analysis.report", STUDY)
    assert report.returncode == 0, report.stderr
    assert study.storage.read("report/tables/scores.csv") == scores
    assert scores == (folder / "here/tiny/report/tables/scores.csv").read_bytes()


def test_a_bucket_that_does_not_exist_starts_nothing(folder: Path) -> None:
    refused = run(folder, "sweep.run", "--grid", "tiny.yaml", "--storage", "s3://nobodys/studies")
    said = refused.stdout + refused.stderr
    assert refused.returncode == 2, said
    assert "s3://nobodys/studies/tiny" in said
    assert "bucket does not exist" in said
    assert "Traceback" not in said
    assert "stages (" not in said


def test_refused_credentials_start_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, port = serve(folder / "server.log", INITIAL_NO_AUTH_ACTION_COUNT="0")
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for module, arguments in (
            ("sweep.run", ["--grid", "tiny.yaml", "--storage", "s3://bucket/studies"]),
            ("sweep.status", ["s3://bucket/studies/tiny"]),
            ("analysis.report", ["s3://bucket/studies/tiny"]),
        ):
            refused = run(folder, module, *arguments)
            said = refused.stdout + refused.stderr
            assert refused.returncode == 2, said
            assert "s3://bucket/studies/tiny" in said
            assert re.search("ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|Forbidden|403", said), said
            assert "Traceback" not in said
            assert USER["AWS_SECRET_ACCESS_KEY"] not in said
    finally:
        server.kill()
        server.wait()
