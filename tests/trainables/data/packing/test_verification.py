"""Each node reads the shards once a run, and again what has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.support.prepared_sets import content, flip, shard
from trainables.data.packing import shards, verification
from trainables.data.packing.manifest import META, DamagedDataError
from trainables.data.packing.packed_dataset import Packed, load
from trainables.data.packing.prepare import prepare
from trainables.store.storage import CACHE

ROOT = Path(__file__).parents[4]
Spec = Callable[..., Any]
Prepare = Callable[[], Packed]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that are read to compare their digests."""
    names: list[str] = []
    digest_of = shards.digest_of

    def noted(file: Path, *more: Any) -> str:
        names.append(file.name)
        return digest_of(file, *more)

    monkeypatch.setattr(verification, "digest_of", noted)
    return names


def test_a_shard_that_was_replaced_by_the_same_bytes_is_read_and_used(again: Prepare, read: list[str]) -> None:
    data = again()
    before = data.gather(np.arange(24))
    file = shard(data.folder)
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)
    for _ in range(2):
        assert np.array_equal(data.gather(np.arange(24)), before)
    assert read == [file.name]


def test_each_run_reads_the_shards_once_and_again_what_changed(again: Prepare, read: list[str]) -> None:
    data = again()
    assert again() == data
    assert read == [], "they were written by this node"
    names = [one.file for one in data.shards]
    for run_start in (100.0, 100.0, 0.0, 200.0, 100.0):
        load(data.folder, run_start).verify()
    assert sorted(read) == sorted(2 * names), "by the runs that began at 100 and 200"
    read.clear()
    os.utime(shard(data.folder, 3), (1, 1))
    for _ in range(2):
        load(data.folder, 200.0).verify()
    assert read == [names[3]]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"a": 1}', '{"a": ["b", "c"]}', None])
def test_a_note_that_is_torn_is_not_believed(again: Prepare, read: list[str], tmp_path: Path, note: str | None) -> None:
    data = again()
    (file,) = (tmp_path / "cache").glob("*.verified")
    file.unlink() if note is None else file.write_text(note)
    for _ in range(2):
        load(data.folder).verify()
    assert sorted(read) == [one.file for one in data.shards]


def test_another_node_verifies_for_itself(
    again: Prepare, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = again()
    (tmp_path / "boot_id").write_text("elsewhere\n")
    monkeypatch.setattr(verification, "_BOOT", tmp_path / "boot_id")
    for _ in range(2):
        load(data.folder).verify()
    assert len(read) == 5


def test_notes_of_machines_that_are_long_gone_are_deleted(again: Prepare, tmp_path: Path) -> None:
    old, recent = (tmp_path / "cache" / f"scenes.{name}.verified" for name in ("old", "recent"))
    old.parent.mkdir()
    for file in (old, recent):
        file.write_text("{}")
    os.utime(old, (1, 1))
    again()
    assert not old.exists()
    assert recent.exists()


def test_a_cache_that_cannot_be_written_to_is_verified_once(
    again: Prepare, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = again()
    monkeypatch.setenv(CACHE, str(tmp_path / "node"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    for _ in range(2):
        assert again() == data
    assert len(read) == 5
    assert list((tmp_path / "node" / "verified").glob("*.verified"))


def test_without_any_place_for_a_note_each_verifies(
    again: Prepare, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = again()
    (tmp_path / "node").write_text("no folder")
    monkeypatch.setenv(CACHE, str(tmp_path / "node"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for times in (1, 2):
        assert load(data.folder).verify() == data
        assert len(read) == 5 * times


VERIFIES = """
import sys
from pathlib import Path
from trainables.data.packing import verification
from trainables.data.packing.packed_dataset import load
digest_of = verification.digest_of
def told(file, *more):
    sys.stdout.write("read " + file.name + chr(10))  # at once: several threads read
    return digest_of(file, *more)
verification.digest_of = told
sys.stdin.readline()
load(Path(sys.argv[1]), 100.0).verify()
"""


def test_of_several_processes_of_a_node_one_reads(again: Prepare) -> None:
    data = again()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    processes = [subprocess.Popen([sys.executable, "-c", VERIFIES, str(data.folder)], **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(lines) == [f"read {one.file}" for one in data.shards]


def test_only_what_is_damaged_is_decoded_again(again: Prepare, data_spec: Spec, tmp_path: Path) -> None:
    whole = again()
    flip(shard(whole.folder), 9)
    told: list[int] = []
    spec = data_spec(reader="generated", generator="scenes", images_per_class=12, size=32)
    prepare("scenes", spec, tmp_path, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert told == [19, 24]


def test_a_set_of_an_older_layout_is_left_alone(again: Prepare, tmp_path: Path) -> None:
    old = tmp_path / "cache" / "scenes-0123456789abcdef"
    old.mkdir(parents=True)
    (old / META).write_text(json.dumps({"name": "scenes", "classes": ["a"], "size": 32, "fingerprint": "f" * 64}))
    (old / "images.arrow").write_bytes(b"ARROW1")
    before = content(old)
    assert again().repaired == ()
    assert content(old) == before
    with pytest.raises(DamagedDataError, match="meta.json is of layout None, expected 4"):
        load(old)


def test_memory_is_taken_for_the_images_there_are(
    data_spec: Spec, write_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    class Watched(shards.ShardBuffer):
        def __init__(self, rows: int, edge: int) -> None:
            super().__init__(rows, edge)
            taken.append(self.images.nbytes)

    monkeypatch.setattr("trainables.data.packing.shard_writer.ShardBuffer", Watched)
    spec = data_spec(reader="image_folder", path="set")
    for number in range(4):
        write_image(tmp_path / "set" / "ab"[number % 2] / f"{number}.png", number, width=700)
    prepare("set", spec, tmp_path, tmp_path / "cache")
    assert taken == [4 * 700 * 700 * 3]
    taken.clear()
    monkeypatch.setattr(shards, "SHARD_BYTES", 700 * 700 * 3)
    packed = prepare("set", spec, tmp_path, tmp_path / "one a shard")
    assert [one.rows for one in packed.shards] == [1] * 4
    assert set(taken) == {700 * 700 * 3}
