"""Data and weights on the way to a node: fetched once, by whoever comes first, and believed only by their digests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import LIST, data_folder, offer_data, offer_weights, place_of, weights_file
from trainables.store.storage import CACHE, Storage

ROOT = Path(__file__).parents[3]
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def depot(tmp_path: Path) -> Storage:
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depot: Storage, pack: Path
) -> Callable[[str], RuntimeContext]:
    """Be on a node that does not see the driver's disk."""
    offer_data(depot, pack)

    def be(name: str) -> RuntimeContext:
        monkeypatch.setenv(CACHE, str(tmp_path / name))
        return RuntimeContext({"cells": f"/not here/{pack.name}"}, {}, depot=depot.location)

    return be


def fetched(tmp_path: Path, node: str) -> Path:
    return tmp_path / node / "data/cells-0123"


def test_what_is_whole_on_the_storage_is_not_sent_again(depot: Storage, pack: Path) -> None:
    assert offer_data(depot, pack)
    assert not offer_data(depot, pack)
    depot.remove(f"data/{pack.name}/{LIST}")  # of a driver that was killed
    assert offer_data(depot, pack)
    assert depot.read(f"data/{pack.name}/images.arrow") == CONTENT


def test_a_node_that_sees_the_place_uses_it(pack: Path, depot: Storage, tmp_path: Path) -> None:
    runtime = RuntimeContext({"cells": str(pack)}, {}, depot=depot.location)
    assert data_folder(runtime, "cells") == pack == place_of(runtime, "cells")
    assert data_folder(RuntimeContext({"cells": "/not here"}, {}), "cells") == Path("/not here"), (
        "all see it where nothing is said"
    )


def test_each_node_has_its_own_copy(elsewhere: Callable[[str], RuntimeContext], tmp_path: Path) -> None:
    for node in ("a", "b"):
        runtime = elsewhere(node)
        assert data_folder(runtime, "cells") == fetched(tmp_path, node) == place_of(runtime, "cells")
        assert (fetched(tmp_path, node) / "images.arrow").read_bytes() == CONTENT


def test_a_copy_serves_when_the_storage_is_away(
    elsewhere: Callable[[str], RuntimeContext], depot: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    data_folder(runtime, "cells")
    Path(depot.location).rename(tmp_path / "away")
    assert data_folder(runtime, "cells") == fetched(tmp_path, "a")


@pytest.mark.parametrize("how", ["torn", "changed", "gone"])
def test_a_copy_that_is_not_whole_is_fetched_again(
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
    elsewhere: Callable[[str], RuntimeContext], depot: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    file = data_folder(runtime, "cells") / "images.arrow"
    os.utime(file, (1, 1))
    before = file.stat().st_ino
    Path(depot.location).rename(tmp_path / "away")
    data_folder(runtime, "cells")
    assert file.stat().st_ino == before


def test_what_a_killed_process_left_is_no_copy(elsewhere: Callable[[str], RuntimeContext], tmp_path: Path) -> None:
    runtime = elsewhere("a")
    partial = fetched(tmp_path, "a").with_name("cells-0123.partial")
    partial.mkdir(parents=True)
    (partial / "images.arrow").write_bytes(b"half")
    assert (data_folder(runtime, "cells") / "images.arrow").read_bytes() == CONTENT
    assert not partial.exists()


def test_a_storage_that_gives_other_bytes_is_refused(
    elsewhere: Callable[[str], RuntimeContext], depot: Storage, tmp_path: Path
) -> None:
    depot.write("data/cells-0123/images.arrow", CONTENT[1:])
    with pytest.raises(UserError, match="is not what was sent there"):
        data_folder(elsewhere("a"), "cells")
    assert sorted(file.name for file in (tmp_path / "a/data").iterdir()) == ["cells-0123.lock"]


def test_what_is_nowhere_is_said(elsewhere: Callable[[str], RuntimeContext], depot: Storage) -> None:
    runtime = elsewhere("a")
    depot.remove(f"data/cells-0123/{LIST}")
    with pytest.raises(UserError, match=r"neither /not here/cells-0123 nor .*/data/cells-0123 is there"):
        data_folder(runtime, "cells")


def test_a_disk_without_room_is_said_before(
    elsewhere: Callable[[str], RuntimeContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = elsewhere("a")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(UserError, match="SWEEP_CACHE names a folder on a larger disk"):
        data_folder(runtime, "cells")


def test_weights_come_the_same_way_with_their_name(
    depot: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resnet.safetensors"
    file.write_bytes(b"weights")
    assert offer_weights(depot, "5a17", file)
    monkeypatch.setenv(CACHE, str(tmp_path / "a"))
    assert weights_file(RuntimeContext({}, {"5a17": str(file)}, depot=depot.location), "5a17") == file
    there = weights_file(RuntimeContext({}, {"5a17": "/not here/resnet.safetensors"}, depot=depot.location), "5a17")
    assert there == tmp_path / "a/weights/5a17/resnet.safetensors"
    assert there.read_bytes() == b"weights"


def test_several_processes_of_a_node_fetch_once(
    elsewhere: Callable[[str], RuntimeContext], depot: Storage, tmp_path: Path
) -> None:
    runtime = elsewhere("a")
    code = """
import sys
from trainables.store import node_inputs
from trainables.runtime import RuntimeContext
from trainables.store.storage import Storage
fetch = Storage.fetch
def told(self, name, file):
    print("fetched", name, flush=True)
    return fetch(self, name, file)
Storage.fetch = told
sys.stdin.readline()
print(node_inputs.data_folder(RuntimeContext({"cells": sys.argv[1]}, {}, depot=sys.argv[2]), "cells"))
"""
    command = [sys.executable, "-c", code, runtime.data["cells"], depot.location]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:  # all are ready before one begins
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [lines[-1] for lines in said] == [str(fetched(tmp_path, "a"))] * 3
    assert sorted(line for lines in said for line in lines[:-1]) == [
        "fetched data/cells-0123/images.arrow",
        "fetched data/cells-0123/meta.json",
    ]
