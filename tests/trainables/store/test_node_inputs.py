"""Data and weights on the way to a node: downloaded once, by whichever process is first, and verified by digest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import (
    MANIFEST,
    data_folder,
    expected_data_folder,
    upload_data,
    upload_weights,
    weights_file,
)
from trainables.store.storage import CACHE, Storage

ROOT = Path(__file__).parents[3]
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage" / ".cache")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A packed data set on the driver's disk."""
    folder = tmp_path / "driver/data/cells-0123"
    folder.mkdir(parents=True)
    (folder / "images.arrow").write_bytes(CONTENT)
    (folder / "meta.json").write_text("{}")
    return folder


@pytest.fixture
def elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Storage, pack: Path
) -> Callable[[str], RuntimeContext]:
    """Be on a node that does not see the driver's disk."""
    upload_data(store, pack)

    def be(name: str) -> RuntimeContext:
        monkeypatch.setenv(CACHE, str(tmp_path / name))
        return RuntimeContext({"cells": f"/not here/{pack.name}"}, {}, artifact_store=store.location)

    return be


def copy_on(tmp_path: Path, node: str) -> Path:
    return tmp_path / node / "data/cells-0123"


def test_what_is_whole_on_the_storage_is_not_uploaded_again(store: Storage, pack: Path) -> None:
    assert upload_data(store, pack)
    assert not upload_data(store, pack)
    store.remove(f"data/{pack.name}/{MANIFEST}")  # of a driver that was killed
    assert upload_data(store, pack)
    assert store.read(f"data/{pack.name}/images.arrow") == CONTENT


def test_a_node_that_sees_the_place_uses_it(pack: Path, store: Storage, tmp_path: Path) -> None:
    runtime = RuntimeContext({"cells": str(pack)}, {}, artifact_store=store.location)
    assert data_folder(runtime, "cells") == pack == expected_data_folder(runtime, "cells")
    assert data_folder(RuntimeContext({"cells": "/not here"}, {}), "cells") == Path("/not here"), (
        "all see it where nothing is said"
    )


def test_each_node_has_its_own_copy(elsewhere: Callable[[str], RuntimeContext], tmp_path: Path) -> None:
    for node in ("a", "b"):
        runtime = elsewhere(node)
        assert data_folder(runtime, "cells") == copy_on(tmp_path, node) == expected_data_folder(runtime, "cells")
        assert (copy_on(tmp_path, node) / "images.arrow").read_bytes() == CONTENT


def test_a_copy_serves_when_the_storage_is_away(
    elsewhere: Callable[[str], RuntimeContext], store: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    data_folder(runtime, "cells")
    Path(store.location).rename(tmp_path / "away")
    assert data_folder(runtime, "cells") == copy_on(tmp_path, "a")


@pytest.mark.parametrize("how", ["torn", "changed", "gone"])
def test_a_copy_that_is_not_whole_is_downloaded_again(
    elsewhere: Callable[[str], RuntimeContext], tmp_path: Path, how: str
) -> None:
    runtime = elsewhere("a")
    file = data_folder(runtime, "cells") / "images.arrow"
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(CONTENT[:1000] if how == "torn" else CONTENT[:-1] + b"x")
    assert data_folder(runtime, "cells") / "images.arrow" == file
    assert file.read_bytes() == CONTENT


def test_a_copy_that_was_only_touched_stays(
    elsewhere: Callable[[str], RuntimeContext], store: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    file = data_folder(runtime, "cells") / "images.arrow"
    os.utime(file, (1, 1))
    before = file.stat().st_ino
    Path(store.location).rename(tmp_path / "away")
    data_folder(runtime, "cells")
    assert file.stat().st_ino == before


def test_what_a_killed_process_left_is_no_copy(elsewhere: Callable[[str], RuntimeContext], tmp_path: Path) -> None:
    runtime = elsewhere("a")
    partial = copy_on(tmp_path, "a").with_name("cells-0123.partial")
    partial.mkdir(parents=True)
    (partial / "images.arrow").write_bytes(b"half")
    assert (data_folder(runtime, "cells") / "images.arrow").read_bytes() == CONTENT
    assert not partial.exists()


def test_a_storage_that_gives_other_bytes_is_refused(
    elsewhere: Callable[[str], RuntimeContext], store: Storage, tmp_path: Path
) -> None:
    store.write("data/cells-0123/images.arrow", CONTENT[1:])
    with pytest.raises(UserError, match="is not what was uploaded"):
        data_folder(elsewhere("a"), "cells")
    assert sorted(file.name for file in (tmp_path / "a/data").iterdir()) == ["cells-0123.lock"]


def test_what_is_nowhere_is_said(elsewhere: Callable[[str], RuntimeContext], store: Storage) -> None:
    runtime = elsewhere("a")
    store.remove(f"data/cells-0123/{MANIFEST}")
    with pytest.raises(UserError, match=r"this node sees neither /not here/cells-0123 nor .*/data/cells-0123"):
        data_folder(runtime, "cells")


def test_a_disk_without_room_is_said_before(
    elsewhere: Callable[[str], RuntimeContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = elsewhere("a")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(UserError, match="set SWEEP_CACHE to a folder on a larger disk"):
        data_folder(runtime, "cells")


def test_weights_come_the_same_way_with_their_name(
    store: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resnet.safetensors"
    file.write_bytes(b"weights")
    assert upload_weights(store, "5a17", file)
    monkeypatch.setenv(CACHE, str(tmp_path / "a"))
    assert weights_file(RuntimeContext({}, {"5a17": str(file)}, artifact_store=store.location), "5a17") == file
    there = weights_file(
        RuntimeContext({}, {"5a17": "/not here/resnet.safetensors"}, artifact_store=store.location), "5a17"
    )
    assert there == tmp_path / "a/weights/5a17/resnet.safetensors"
    assert there.read_bytes() == b"weights"


def test_several_processes_of_a_node_download_once(
    elsewhere: Callable[[str], RuntimeContext], store: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    code = """
import sys
from trainables.store import node_inputs
from trainables.runtime import RuntimeContext
from trainables.store.storage import Storage
download = Storage.download
def printing(self, name, file):
    print("downloaded", name, flush=True)
    return download(self, name, file)
Storage.download = printing
sys.stdin.readline()
print(node_inputs.data_folder(RuntimeContext({"cells": sys.argv[1]}, {}, artifact_store=sys.argv[2]), "cells"))
"""
    command = [sys.executable, "-c", code, runtime.data["cells"], store.location]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:  # all are ready before one begins
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [lines[-1] for lines in said] == [str(copy_on(tmp_path, "a"))] * 3
    assert sorted(line for lines in said for line in lines[:-1]) == [
        "downloaded data/cells-0123/images.arrow",
        "downloaded data/cells-0123/meta.json",
    ]
