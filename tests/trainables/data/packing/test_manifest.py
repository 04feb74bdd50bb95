"""Damage of a prepared set, of any kind, is found before anything of it is used, named, and mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.trainables.support.prepared_sets import DAMAGES, content, edit_table, flip, shard
from tests.trainables.support.stage_bench import Bench, run
from trainables.data.packing.manifest import META, DamagedDataError
from trainables.data.packing.packed_dataset import INDEX, Packed, load
from trainables.runtime import RuntimeContext
from trainables.store.node_inputs import data_folder, upload_data
from trainables.store.storage import CACHE, Storage

Prepare = Callable[[], Packed]


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


@pytest.mark.parametrize(
    "killed", ["before the old set was put aside", "before the new one was put in its place", "after"]
)
def test_a_repair_that_was_killed_at_its_end_is_ended(again: Prepare, killed: str) -> None:
    whole = again()
    before, folder = content(whole.folder), whole.folder
    partial, damaged = (folder.with_name(f"{folder.name}.{ending}") for ending in ("partial", "damaged"))
    if killed == "after":
        shutil.copytree(folder, damaged)
        flip(shard(folder), 3)
    else:
        shutil.copytree(folder, partial)
        flip(shard(folder), 3)
        if killed.startswith("before the new"):
            folder.rename(damaged)
    assert content(again().folder) == before
    assert not partial.exists()
    assert not damaged.exists()
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


@pytest.mark.parametrize("place", ["a file", "a broken link", "a link to a file"])
def test_what_lies_in_the_place_of_a_set_is_replaced(again: Prepare, tmp_path: Path, place: str) -> None:
    folder = again().folder
    shutil.rmtree(folder)
    (tmp_path / "elsewhere").write_text("not ours")
    if place == "a file":
        folder.write_text("no set")
    else:
        folder.symlink_to(tmp_path / ("elsewhere" if "to" in place else "nowhere"))
    assert again().folder == folder
    assert again().repaired == ()
    assert (tmp_path / "elsewhere").read_text() == "not ours"
    assert not list(folder.parent.glob("*.partial")) + list(folder.parent.glob("*.damaged"))
