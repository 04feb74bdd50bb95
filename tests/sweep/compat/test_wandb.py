"""Each private part of the W&B client is there as we use it: a version that moved one fails here, with what relies on it."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import struct
import threading
import tomllib
import zlib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweep.compat import wandb as compat
from tests.sweep.support.private_parts import Part, find

ROOT = Path(__file__).parents[3]
RUN = "wandb.sdk.wandb_run"
WORKSPACES = "wandb_workspaces.workspaces"


@pytest.mark.parametrize(
    ("part", "distribution"),
    [
        (Part(RUN, "RunStatusChecker.stop", compat.stop_status_checker, ("self",)), "wandb"),
        (Part("wandb.proto.wandb_internal_pb2", "Record.FromString", compat.log_records), "wandb"),
        (Part(WORKSPACES, "Workspace.save", compat.set_view_identity, ("self",)), "wandb-workspaces"),
    ],
    ids=lambda value: str(value),
)
def test_the_client_has_the_private_part(part: Part, distribution: str) -> None:
    find(part, distribution)


def test_a_run_keeps_its_status_checker_where_we_look() -> None:
    source = inspect.getsource(importlib.import_module(RUN))
    for name in ("_run_status_checker", "_network_status_thread"):
        assert re.search(rf"self\.{name}\b.* = ", source), f"wandb's Run has no {name}: see stop_status_checker"


def test_a_status_checker_that_never_started_is_no_error() -> None:
    compat.stop_status_checker(SimpleNamespace())
    stopped: list[bool] = []
    thread = threading.Thread(target=lambda: None)
    thread.start()
    checker = SimpleNamespace(stop=lambda: stopped.append(True), _network_status_thread=thread)
    compat.stop_status_checker(SimpleNamespace(_run_status_checker=checker))
    assert stopped == [True]
    assert not thread.is_alive()


@pytest.mark.parametrize("name", [*compat.LEAN_SETTINGS, "sweep_id", "stop_fn"])
def test_the_client_has_the_setting(name: str) -> None:
    import wandb

    assert name in wandb.Settings.model_fields, f"wandb {wandb.__version__} has no setting {name}: see LEAN_SETTINGS"


def test_the_client_s_process_has_the_name_we_look_for() -> None:
    files = metadata.files("wandb") or []
    assert any(file.name == compat.CLIENT_PROCESS for file in files), "wandb starts another program: see CLIENT_PROCESS"


def test_a_view_takes_the_identity_of_a_saved_one() -> None:
    workspaces: Any = importlib.import_module(WORKSPACES)
    view = workspaces.Workspace(entity="team", project="p", sections=[])
    assert compat.view_identity(view) == ("", ""), "wandb-workspaces names a new view itself: see view_identity"
    compat.set_view_identity(view, "nw-abc-v", "id")
    assert compat.view_identity(view) == ("nw-abc-v", "id")
    model = view._to_model()
    assert (model.name, model.id) == ("nw-abc-v", "id"), (
        "wandb-workspaces saves under another name: see set_view_identity"
    )


def framed(payload: bytes, kind: int = 1) -> bytes:
    return struct.pack("<IHB", zlib.crc32(payload, zlib.crc32(bytes([kind]))), len(payload), kind) + payload


def log_of(tmp_path: Path, *pieces: bytes) -> Path:
    file = tmp_path / "run-x.wandb"
    file.write_bytes(b":W&B" + struct.pack("<HB", 0xBEE1, 0) + b"".join(pieces))
    return file


def history(epoch: int) -> bytes:
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    record = messages.Record()
    record.history.item.add(key="epoch", value_json=str(epoch))
    return bytes(record.SerializeToString())


def test_a_log_is_read_up_to_where_its_writer_was_killed(tmp_path: Path) -> None:
    first, second = history(0), history(1)
    whole = log_of(tmp_path, framed(first), framed(second[:3], 2), framed(second[3:], 4), framed(history(2))[:-1])
    rows = [compat.log_items(record.history.item) for record in compat.log_records(whole)]
    assert rows == [{"epoch": 0}, {"epoch": 1}]


def test_a_damaged_log_and_another_file_are_named(tmp_path: Path) -> None:
    damaged = bytearray(framed(history(0)))
    damaged[-1] ^= 1
    with pytest.raises(ValueError, match="damaged at byte 7"):
        list(compat.log_records(log_of(tmp_path, bytes(damaged))))
    other = tmp_path / "other"
    shutil.copy(__file__, other)
    with pytest.raises(ValueError, match="no log of W&B's"):
        list(compat.log_records(other))


@pytest.mark.parametrize(("name", "tested"), [("wandb", compat.TESTED), ("wandb-workspaces", compat.TESTED_WORKSPACES)])
def test_the_tested_versions_are_those_of_the_project(name: str, tested: tuple[str, str]) -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (lowest,) = [found[1] for line in requirements if (found := re.match(rf"{name}>=([\d.]+),", line))]
    (pinned,) = re.findall(rf"^{name}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    first, last = (tuple(map(int, version.split("."))) for version in tested)
    assert tuple(map(int, lowest.split("."))) == first[: lowest.count(".") + 1]
    assert first <= tuple(map(int, pinned.split("."))) <= last
