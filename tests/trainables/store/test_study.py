"""Tests of the study folder."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trainables.errors import UserError
from trainables.specs import ModelSpec, RandomWeights, Recipe, Stage, StageData
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study, split_digest


def make_stage(**fields: Any) -> Stage:
    content: dict[str, Any] = {
        "kind": "pretrain",
        "name": "vit-PCam",
        "architecture": "vit",
        "scenario": "PCam",
        "fold": None,
        "learning_rate": 0.1,
        "seed": 0,
        "split": "s",
        "upstream": (),
        "model": ModelSpec(model="timm/test_vit"),
        "initial": RandomWeights(),
        "data": StageData(name="pcam", fingerprint="f", classes=("a", "b"), size=None),
        "recipe": Recipe(),
    }
    return Stage(**(content | fields))


def fail(folder: StageFolder) -> None:
    folder.fail("StageError", "it failed", "Traceback …", 2)


def make_split(**columns: Any) -> pa.Table:
    content = {
        "fold": [0, 0, 1, 1],
        "image_id": ["a/1", "b/2", "a/1", "b/2"],
        "label": [0, 1, 0, 1],
        "group": ["p1", None, "p1", None],
        "split": ["train", "test", "test", "train"],
    }
    return pa.table(content | columns)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(Storage(tmp_path / "my study"))


@pytest.fixture
def folder(study: Study) -> StageFolder:
    stage = make_stage()
    study.folder(stage).begin(stage)
    return study.folder(stage)


def test_opening_what_is_no_study_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no study at .*nowhere: there is no study\.json"):
        Study.open(str(tmp_path / "nowhere"))


def test_an_opened_study_has_its_header_and_plan(study: Study) -> None:
    assert study.header is None
    study.storage.write_json("study.json", {"name": "my study"})
    study.storage.write_json("plan.json", {"stages": []})
    again = Study.open(study.storage.location)
    assert again.header == {"name": "my study"}
    assert again.plan == {"stages": []}


def test_a_begun_stage_has_its_specification_and_no_result(study: Study, folder: StageFolder) -> None:
    assert folder.stage() == make_stage().document()
    assert folder.result() is folder.failure() is None
    assert study.folders() == [folder]
    assert study.states() == {}


def test_a_result_clears_an_earlier_failure(study: Study, folder: StageFolder) -> None:
    key16 = str(make_stage().key)[:16]
    fail(folder)
    assert folder.failure() is not None
    assert study.states() == {key16: "failed"}
    folder.commit({"status": "done"})
    assert folder.result() == {"status": "done"}
    assert folder.failure() is None
    assert study.states() == {key16: "done"}


def test_a_failure_says_what_failed_how_often_and_where(folder: StageFolder) -> None:
    fail(folder)
    failure = folder.failure()
    assert failure is not None
    wanted = {"class": "StageError", "message": "it failed", "traceback": "Traceback …", "attempts": 2}
    assert wanted.items() <= failure.items()
    assert failure["node"] == socket.gethostname()


def test_a_result_counts_even_beside_a_failure(study: Study, folder: StageFolder) -> None:
    """As a commit leaves it that is interrupted between its two steps."""
    folder.commit({"status": "done"})
    fail(folder)
    assert list(study.states().values()) == ["done"]


def test_states_are_of_every_stage(study: Study) -> None:
    stages = [make_stage(seed=seed) for seed in range(4)]
    for stage in stages:
        study.folder(stage).begin(stage)
    study.folder(stages[1]).commit({})
    fail(study.folder(stages[2]))
    assert study.states() == {str(stages[1].key)[:16]: "done", str(stages[2].key)[:16]: "failed"}
    assert len(study.folders()) == 4


def test_a_stage_is_found_by_its_key(study: Study, folder: StageFolder) -> None:
    assert study.find(str(make_stage().key)) == folder
    other = str(make_stage(seed=1).key)
    with pytest.raises(FileNotFoundError, match=f"no stage of key {other[:16]} in .*stages"):
        study.find(other)


def test_a_stage_that_was_renamed_keeps_its_folder(study: Study, folder: StageFolder) -> None:
    """What people call it is not in the key: its result must not be made a second time."""
    renamed = make_stage(name="another name", scenario="PatchCamelyon")
    assert renamed.folder != make_stage().folder
    assert study.folder(renamed) == folder
    assert study.folder(make_stage(seed=1)).name == make_stage(seed=1).folder


def test_a_verified_file_is_what_was_written(folder: StageFolder) -> None:
    digest = folder.files.write("weights.safetensors", b"weights")
    result = {"digests": {"weights.safetensors": digest}}
    assert folder.read_verified("weights.safetensors", result) == b"weights"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file, digests: file.write_bytes(b"weightz"), "is not what the stage wrote"),
        (lambda file, digests: file.unlink(), "is missing, but the result names it"),
        (lambda file, digests: digests.clear(), r"result\.json has no digest of weights\.safetensors"),
    ],
    ids=["changed", "missing", "no digest"],
)
def test_a_file_that_is_not_what_was_written_is_refused(folder: StageFolder, spoil: Any, message: str) -> None:
    digests = {"weights.safetensors": folder.files.write("weights.safetensors", b"weights")}
    spoil(Path(folder.path("weights.safetensors")), digests)
    with pytest.raises(ValueError, match=message) as caught:
        folder.read_verified("weights.safetensors", {"digests": digests})
    assert folder.name in str(caught.value)


def test_a_split_is_never_changed(study: Study) -> None:
    study.write_split("d", make_split())
    study.write_split("d", make_split(split=["val"] * 4))
    assert study.read_split("d").equals(make_split())


def test_problems_have_their_columns_even_when_there_are_none(study: Study) -> None:
    columns = ["data_set", "image_id", "what"]
    study.write_problems([])
    assert study.storage.read_table("data_problems.parquet").column_names == columns
    row = {"data_set": "cells", "image_id": "MYB/5527.jpg", "what": "undecodable"}
    study.write_problems(iter([row]))
    assert study.storage.read_table("data_problems.parquet").to_pylist() == [row]


def test_a_known_split_digest() -> None:
    """If it changes, no study finds its split again."""
    assert split_digest(make_split()) == "67434faf37b2ac5add8b531b80e9c0dc01f35908f37090bbfa7a02a40d6eeaf9"


def test_a_split_digest_does_not_depend_on_how_the_table_is_held(study: Study) -> None:
    table = make_split()
    study.write_split("d", table)
    halves = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    encoded = table.set_column(4, "split", table.column("split").dictionary_encode())
    wide = table.set_column(1, "image_id", table.column("image_id").cast(pa.large_string()))
    swapped = table.select(table.column_names[::-1])
    for other in (study.read_split("d"), halves, encoded, wide, swapped):
        assert split_digest(other) == split_digest(table)


@pytest.mark.parametrize(
    "columns",
    [
        {"fold": [0, 0, 1, 2]},
        {"image_id": ["a/1", "b/2", "a/1", "b/3"]},
        {"label": [0, 1, 0, 0]},
        {"group": ["p1", None, "p1", "None"]},
        {"group": ["p1", None, None, "p1"]},
        {"split": ["train", "test", "test", "val"]},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_split_digest_depends_on_every_column(columns: dict[str, Any]) -> None:
    assert split_digest(make_split(**columns)) != split_digest(make_split())
