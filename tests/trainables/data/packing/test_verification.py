"""Damage of a prepared set is found before anything of it is used, named, and mended; what is whole is read once a run."""

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
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.support.stage_bench import Bench, run
from trainables.data.packing import shards, verification
from trainables.data.packing.manifest import META, DamagedDataError
from trainables.data.packing.packed_dataset import INDEX, PROBLEMS, Packed, load
from trainables.data.packing.prepare import prepare
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import data_folder, upload_data
from trainables.store.storage import CACHE, Storage

ROOT = Path(__file__).parents[4]
Spec = Callable[..., Any]
Prepare = Callable[[], Packed]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_ROWS", 5)


@pytest.fixture
def again(data_spec: Spec, tmp_path: Path, small_shards: None) -> Prepare:
    """Prepare a set of 24 generated images in 5 shards."""
    spec = data_spec(reader="generated", generator="scenes", images_per_class=12, size=32)
    return lambda: prepare("scenes", spec, tmp_path, tmp_path / "cache")


@pytest.fixture
def other(data_spec: Spec, tmp_path: Path, small_shards: None) -> Packed:
    """Another set of as many images and shards."""
    spec = data_spec(reader="generated", generator="scenes", images_per_class=12, size=32, seed=1)
    return prepare("scenes", spec, tmp_path, tmp_path / "other")


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


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def shard(folder: Path, number: int = 1) -> Path:
    (found,) = folder.glob(f"shard-{number:05}-*")
    return found


def flip(file: Path, place: int) -> None:
    """Change one bit in place; the file keeps its size and its time of modification."""
    status = file.stat()
    with file.open("r+b") as stream:
        stream.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def swap(one: Path, another: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    another.rename(one)
    aside.rename(another)


def replace_by(one: Path, another: Path) -> None:
    """Put another file under its own name in the place of one."""
    one.unlink()
    shutil.copy(another, one.parent)


def edit_table(file: Path, column: str, value: Any) -> None:
    table = pq.ParquetFile(file).read()
    place = table.schema.get_field_index(column)
    values = [value, *table.column(column).to_pylist()[1:]]
    pq.write_table(
        table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type)), file
    )


def edit_meta(folder: Path, **values: Any) -> None:
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta | values))


DAMAGES: dict[str, tuple[str, Callable[[Path, Path], Any]]] = {
    "a pixel": ("shard-00001-", lambda folder, other: flip(shard(folder), 100)),
    "a shard's record": ("shard-00001-", lambda folder, other: flip(shard(folder), -30)),
    "a shard is cut": ("shard-00001-", lambda folder, other: cut(shard(folder))),
    "a shard is empty": ("shard-00001-", lambda folder, other: os.truncate(shard(folder), 0)),
    "a shard has a tail": ("shard-00001-", lambda folder, other: shard(folder).open("ab").write(b"\0")),
    "a shard is removed": ("shard-00001-", lambda folder, other: shard(folder).unlink()),
    "shards are swapped": ("shard-00001-", lambda folder, other: swap(shard(folder), shard(folder, 2))),
    "a shard of another set": ("shard-00001-", lambda folder, other: shutil.copy(shard(other), shard(folder))),
    "a shard of another set under its own name": (
        "shard-00001-",
        lambda folder, other: replace_by(shard(folder), shard(other)),
    ),
    "the last pixel": ("shard-00004-", lambda folder, other: flip(shard(folder, 4), 4 * 32 * 32 * 3 - 1)),
    "a label": (INDEX, lambda folder, other: edit_table(folder / INDEX, "label", 1)),
    "an image id": (INDEX, lambda folder, other: edit_table(folder / INDEX, "image_id", "another")),
    "a group": (INDEX, lambda folder, other: edit_table(folder / INDEX, "group", "patient 1")),
    "the index is cut": (INDEX, lambda folder, other: cut(folder / INDEX)),
    "the index is removed": (INDEX, lambda folder, other: (folder / INDEX).unlink()),
    "the index of another set": (INDEX, lambda folder, other: shutil.copy(other / INDEX, folder)),
    "the problems are removed": (PROBLEMS, lambda folder, other: (folder / PROBLEMS).unlink()),
    "the problems": (PROBLEMS, lambda folder, other: flip(folder / PROBLEMS, 8)),
    "the classes": (META, lambda folder, other: edit_meta(folder, classes=["b", "a"])),
    "the fingerprint": (META, lambda folder, other: edit_meta(folder, fingerprint="f" * 64)),
    "a shard is not listed": (META, lambda folder, other: edit_meta(folder, shards={})),
    "the digest of the manifest": (META, lambda folder, other: edit_meta(folder, digest="0" * 32)),
    "another layout": (META, lambda folder, other: edit_meta(folder, layout=2)),
    "the manifest is cut": (META, lambda folder, other: cut(folder / META)),
    "the manifest is empty": (META, lambda folder, other: os.truncate(folder / META, 0)),
    "the manifest is a list": (META, lambda folder, other: (folder / META).write_text("[1]")),
    "the manifest is no text": (META, lambda folder, other: (folder / META).write_bytes(b"\xff\xfe")),
    "the manifest is removed": (META, lambda folder, other: (folder / META).unlink()),
    "the manifest of another set": (META, lambda folder, other: shutil.copy(other / META, folder)),
    "the whole of another set": (META, lambda folder, other: shutil.copytree(other, folder, dirs_exist_ok=True)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_prepared_again(again: Prepare, other: Packed, damage: str) -> None:
    file, do = DAMAGES[damage]
    whole = again()
    before, pixels = content(whole.folder), whole.gather(np.arange(24))
    do(whole.folder, other.folder)
    with pytest.raises(DamagedDataError) as caught:
        load(whole.folder).verify()
    assert str(caught.value).startswith(f"the prepared data set {whole.folder} is damaged: {file}")
    assert "prepared again from its source" in str(caught.value)
    mended = again()
    assert mended.repaired
    assert all(line.startswith("shard-" if file.startswith("shard") else file) for line in mended.repaired)
    assert content(mended.folder) == before
    assert np.array_equal(mended.gather(np.arange(24)), pixels)
    assert again().repaired == ()


@pytest.mark.parametrize("damage", ["a pixel", "a shard is removed", "a label", "the manifest is cut"])
def test_no_stage_uses_what_is_damaged(bench: Bench, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / bench.cells.folder.name
    shutil.copytree(bench.cells.folder, folder)
    load(folder).verify()  # an earlier stage, say
    file = {"a label": folder / INDEX, "the manifest is cut": folder / META}.get(damage, shard(folder, 0))
    {"a pixel": lambda: flip(file, 5), "a label": lambda: edit_table(file, "label", 1)}.get(damage, file.unlink)()
    stage, study = bench.stage(scenario="Random"), bench.study(tmp_path / "study")
    with pytest.raises(DamagedDataError, match=rf"is damaged: {file.name}.* Run the study again"):
        run(stage, study, RuntimeContext({"cells": str(folder)}, {}))
    assert study.folder(stage).result() is None
    failure = study.storage.read_json(f"stages/{stage.folder}/failure.json")
    assert failure["class"] == "DamagedDataError"
    assert file.name in failure["message"]


def test_a_node_fetches_its_own_copy_again(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "node"))
    depot = Storage(tmp_path / "storage")
    upload_data(depot, bench.cells.folder)
    runtime = RuntimeContext({"cells": f"/not here/{bench.cells.folder.name}"}, {}, artifact_store=depot.location)
    file = shard(data_folder(runtime, "cells"), 0)
    whole = file.read_bytes()
    flip(file, 7)
    run(bench.stage(scenario="Random", recipe={"epochs": 1}), bench.study(tmp_path / "study"), runtime)
    assert file.read_bytes() == whole
    # Bits that go bad without any trace: the list of the copy says that all is as it was.
    monkeypatch.setattr("trainables.store.node_inputs._is_whole", lambda place: (place / "whole.json").is_file())
    flip(file, 7)
    run(bench.stage(scenario="Random", recipe={"epochs": 2}), bench.study(tmp_path / "study"), runtime)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("damage", ["a pixel", "a shard is cut", "a shard is removed", "shards are swapped"])
def test_damage_during_a_stage_is_found_at_the_next_batch(again: Prepare, damage: str) -> None:
    data = again()
    rows = np.array([6, 0])
    before = data.gather(rows)
    DAMAGES[damage][1](data.folder, data.folder)
    assert np.array_equal(data.gather(np.array([0])), before[1:]), "of a shard that is whole"
    with pytest.raises(DamagedDataError, match="shard-00001-"):
        data.gather(rows)


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


@pytest.mark.parametrize("note", ["", "{", "[]", '{"boot": "another", "checked": {}}', '{"checked": {"a": 1}}', None])
def test_a_note_that_is_torn_or_of_another_machine_is_not_believed(
    again: Prepare, read: list[str], tmp_path: Path, note: str | None
) -> None:
    data = again()
    (file,) = (tmp_path / "cache").glob("*.verified")
    file.unlink() if note is None else file.write_text(note)
    for _ in range(2):
        load(data.folder).verify()
    assert sorted(read) == [one.file for one in data.shards]


def test_another_node_verifies_for_itself(again: Prepare, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    data = again()
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    for _ in range(2):
        load(data.folder).verify()
    assert len(read) == 5


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
    print("read", file.name, flush=True)
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
    with pytest.raises(DamagedDataError, match="meta.json is of layout None, expected 3"):
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
