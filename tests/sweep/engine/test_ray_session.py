"""Tests of the Ray cluster of this machine's own: closed to who has no token; said in a line where it does not start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sweep.cluster import cli as cluster
from sweep.engine.ray_session import ClusterError, ray_session, refuse_temporary_folder
from sweep.run import main
from trainables.errors import UserError

LATE = """
import ray
from sweep.engine.ray_session import ray_session
with ray_session(None) as capacity:
    from ray._raylet import AuthenticationMode, get_authentication_mode
    print(get_authentication_mode() == AuthenticationMode.TOKEN, len(capacity().nodes))
"""


@pytest.mark.slow
def test_a_program_that_imported_ray_first_gets_a_closed_cluster_too() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    ran = subprocess.run(
        [sys.executable, "-c", LATE], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.split() == ["True", "1"], ran.stderr[-2000:]


STOPPED = """
import os, signal
from sweep.engine.signals import SignalHandler
from sweep.engine.ray_session import ray_session
with SignalHandler() as interrupts:
    try:
        with interrupts.deferred(), ray_session(None):
            os.kill(os.getpid(), signal.SIGTERM)
    except KeyboardInterrupt:
        print("stopped with", interrupts.status)
"""


@pytest.mark.slow
def test_ray_takes_no_signal_for_itself_while_it_starts() -> None:
    ran = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "stopped with 143"), ran.stderr[-2000:]
    assert "SIGTERM" not in ran.stderr


SLOW = Exception("The current node timed out during startup.")
"""What ``ray.init`` raises on a machine that is too busy: its very class."""


def does_not_start(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init(**settings: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("sweep.engine.ray_session.is_open", lambda address: False)


@pytest.mark.parametrize(
    ("address", "error", "told_as"),
    [
        (None, SLOW, ClusterError),
        (None, TimeoutError("no answer"), ClusterError),
        (None, RuntimeError("failed to start the GCS"), ClusterError),
        ("10.0.0.1:6379", SLOW, ClusterError),
        ("10.0.0.1:6379", ConnectionError("nobody there"), UserError),
        ("10.0.0.1:6379", RuntimeError("wrong token"), UserError),
    ],
)
def test_who_is_to_blame_where_there_is_no_cluster(
    monkeypatch: pytest.MonkeyPatch, address: str | None, error: Exception, told_as: type[Exception]
) -> None:
    does_not_start(monkeypatch, error)
    with pytest.raises(told_as, match=str(error).rstrip(".")), ray_session(address):
        pass


def test_a_cluster_that_does_not_start_is_said_in_a_line_and_has_a_status_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, grid_text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(grid_text)
    monkeypatch.setattr(sys, "argv", ["run", "--grid", "tiny.yaml"])
    does_not_start(monkeypatch, SLOW)
    assert main(["--grid", "tiny.yaml"]) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: Ray did not start on this machine: The current node timed out")
    assert said.endswith("What is finished is kept; this goes on: python -m sweep.run --grid tiny.yaml")


def test_a_cluster_that_does_not_answer_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    does_not_start(monkeypatch, SLOW)
    monkeypatch.setattr(cluster, "_use_token", lambda: None)
    assert cluster.main(["doctor"]) == 1
    assert (
        capsys.readouterr().err == "error: Ray could not be joined at auto: The current node timed out during startup\n"
    )


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
@pytest.mark.parametrize(
    ("folder", "fault"),
    [
        ("/tmp/" + "x" * 80, "too long"),
        ("/tmp/é", "not ASCII"),
        ("/tmp/a'b", "not possible"),
        ("/tmp/a\\b", "not possible"),
        ("/tmp/a\nb", "not possible"),
        ("relative", "not an absolute path"),
        ("", "not an absolute path"),
        ("/etc/passwd", "cannot be written to"),
        ("/proc/self", "cannot be written to"),
    ],
)
def test_a_folder_that_ray_cannot_use_is_refused_by_its_variable(
    variable: str, folder: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, folder)
    named = re.escape(f"{variable} names the folder {folder!a} ")
    with pytest.raises(UserError, match=f"^{named}.*{fault}.*Set RAY_TMPDIR"):
        refuse_temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    refuse_temporary_folder()


def test_such_a_folder_is_refused_before_anything_is_prepared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "relative")
    assert main(["--grid", "smoke", "--storage", str(tmp_path / "studies")]) == 2
    assert capsys.readouterr().err.startswith("error: RAY_TMPDIR names the folder 'relative'")
    assert not list(tmp_path.iterdir())


def test_other_folders_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts below one that is not there yet, with characters that shells and formats know."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("RAY_TMPDIR", f"{short}/a $%&{{")
        refuse_temporary_folder()
        script = "from sweep.engine.ray_session import ray_session\nwith ray_session(None): print('begun')"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
        assert done.stdout == "begun\n", done.stderr
