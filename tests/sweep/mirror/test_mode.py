"""What ``--wandb`` comes to, and that it says which and why."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sweep.mirror import connection, mode
from sweep.mirror.attach import attach
from sweep.mirror.client import processes
from sweep.mirror.mode import MirrorOptions, decide, stagger_seconds
from sweep.mirror.run_link import logged_epochs, read_link, read_study_link
from sweep.mirror.settings import MirrorSettings
from sweep.mirror.sweeps import sweep_config
from tests.sweep.mirror.wandb_server import KEY, Fault, WandbServer
from trainables.errors import UserError
from trainables.specs import Stage
from trainables.store.study import Study


def test_auto_without_a_key_is_off_and_says_so(study: Study, wandb_environment: Path) -> None:
    said: list[str] = []
    assert decide(MirrorOptions(), study, said.append) is None
    assert said == ["W&B: off: no key is configured (`wandb login`, or WANDB_API_KEY)"]
    with pytest.raises(UserError, match="--wandb online: no key"):
        decide(MirrorOptions("online"), study, said.append)
    assert read_study_link(study.storage) == {}


def test_off_says_nothing_and_asks_nobody(study: Study, server: WandbServer) -> None:
    assert decide(MirrorOptions("off"), study, pytest.fail) is None
    assert not server.asked


def test_online_creates_the_sweep_once(study: Study, server: WandbServer) -> None:
    said: list[str] = []
    first = decide(MirrorOptions(), study, said.append)
    assert first is not None
    assert (first.mode, first.entity, first.project, first.sweep) == ("online", "team", "scenario-sweep", "swp00000")
    assert said == ["W&B: online", f"W&B: {server.url}/team/scenario-sweep/sweeps/swp00000"]
    assert not processes(), "the driver keeps none, nor leads its trial processes to one"
    assert "WANDB_SERVICE" not in os.environ
    assert decide(MirrorOptions(), study, said.append) == first
    assert len(server.sweeps) == 1
    elsewhere = decide(MirrorOptions(project="other"), study, said.append)
    assert elsewhere is not None
    assert elsewhere.sweep == "swp00001", "a sweep belongs to its project"
    known = decide(MirrorOptions("offline"), study, said.append)
    assert known is not None
    assert (known.mode, known.project, known.sweep) == ("offline", "other", "swp00001")


def test_a_key_in_the_netrc_file_counts(
    study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login user password {KEY}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not connection.ask_server().why


@pytest.mark.parametrize(
    ("fault", "why"), [(Fault("", 500), "answers 500"), (Fault("", 429), "answers 429"), (None, "does not answer")]
)
def test_a_server_that_is_unwell(
    study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch, fault: Fault | None, why: str
) -> None:
    if fault is None:
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    else:
        server.faults.append(fault)
    said: list[str] = []
    assert decide(MirrorOptions(), study, said.append) is None
    asked = decide(MirrorOptions("online"), study, said.append)
    assert asked is not None
    assert asked.mode == "offline", "asked for by name: kept, and uploaded later"
    assert all(why in line for line in said)
    assert KEY not in "".join(said)


def test_a_wrong_key_is_said_without_it(study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "c" * 40)
    with pytest.raises(UserError, match="answers 401") as refused:
        decide(MirrorOptions("online"), study, pytest.fail)
    assert "ccc" not in str(refused.value)


@pytest.mark.parametrize("address", ["no address", "http://[half", "http://127.0.0.1:port", "http://a b"])
def test_an_address_that_is_none_turns_the_mirror_off(
    study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", address)
    said: list[str] = []
    assert decide(MirrorOptions(), study, said.append) is None
    assert address in said[0]


def test_files_that_are_no_text_turn_the_mirror_off(
    study: Study, wandb_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, variable in (("netrc", "NETRC"), ("settings", "WANDB_CONFIG_DIR")):
        (tmp_path / name).write_bytes(b"\xff")
        monkeypatch.setenv(variable, str(tmp_path / name if variable == "NETRC" else tmp_path))
    said: list[str] = []
    assert decide(MirrorOptions(), study, said.append) is None
    assert "no key is configured" in said[0]


class Elsewhere(BaseHTTPRequestHandler):
    """Points at another name of itself, where an answer is cut short."""

    seen: ClassVar[list[str | None]] = []

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/")  # type: ignore[index]
        self.end_headers()

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Length", "500")
        self.end_headers()
        self.wfile.write(b'{"data"')


def test_the_key_goes_nowhere_else_and_half_an_answer_is_none(
    study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{other.server_address[1]}")
        said: list[str] = []
        assert decide(MirrorOptions(), study, said.append) is None
        other.shutdown()
    assert Elsewhere.seen == [None]
    assert "does not answer" in said[0]


def test_a_sweep_that_takes_too_long_is_left_for_later(
    study: Study, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mode, "CREATE_SECONDS", 0.1)
    server.faults.append(Fault("UpsertSweep", seconds=0.6, times=1))
    said: list[str] = []
    settings = decide(MirrorOptions(), study, said.append)
    assert settings is not None
    assert settings.sweep is None
    assert "python -m sweep.wandb attach" in said[-1]


def test_runs_that_come_later_are_attached_to_the_same_sweep(
    study: Study, server: WandbServer, stages: list[Stage], settings: MirrorSettings, finish: Any
) -> None:
    from sweep.mirror.sync import sync

    for stage in stages[:2]:
        finish(study, stage)
    unswept = replace(settings, sweep=None)
    assert sync(study, unswept).stages == 2, "never mirrored before"
    sweep, count = attach(study, unswept)
    assert count == 2
    finish(study, stages[2])
    assert sync(study, unswept).stages == 1
    assert attach(study, unswept) == (sweep, 1)
    link = read_link(study.folder(stages[2]))
    assert link is not None
    assert server.runs[link.run]["sweep"] == sweep
    epochs = [row["epoch"] for row in server.history(link.run) if "epoch" in row]
    assert epochs == list(range(6)), "told once"


def test_a_rate_that_is_found_is_no_parameter() -> None:
    axes: dict[str, list[Any]] = {"architecture": ["a"], "learning_rate": [None], "fold": [0, 1]}
    assert set(sweep_config("s", axes)["parameters"]) == {"architecture", "fold"}


def test_many_processes_do_not_come_at_once(settings: MirrorSettings) -> None:
    assert stagger_seconds(settings, 1) == 0
    assert 5 < stagger_seconds(settings, 64) < stagger_seconds(settings, 10_000) <= 30
    assert stagger_seconds(replace(settings, mode="offline"), 64) == 0


def test_rows_say_which_epochs_they_are() -> None:
    assert logged_epochs((), 3) == [0, 1, 2]
    assert logged_epochs((0, 2), 4) == [0, 2, 3, 4]
    assert logged_epochs((0, 2, 3, 1), 3) == [0, 2, 3]
