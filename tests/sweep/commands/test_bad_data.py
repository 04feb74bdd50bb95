"""Data sets and weights that are missing or unusable: each told, and nothing started."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.support.command_line import FOLDERS, Run, begin, refused


def no_folder(data: Path) -> str:
    shutil.rmtree(data)
    return "no folder data/cells"


def empty(data: Path) -> str:
    shutil.rmtree(data)
    data.mkdir()
    return "data/cells holds nothing"


def flat(data: Path) -> str:
    for file in data.rglob("*.png"):
        file.rename(data / f"{file.parent.name}-{file.name}")
    return "Expected data/cells/<class>/image.jpg"


def small_class(data: Path) -> str:
    for i in (1, 2):
        (data / f"square/{i}.png").unlink()
    return "fewer images than the 3 folds in class square (2)"


def one_class(data: Path) -> str:
    shutil.rmtree(data / "square")
    return "1 class: round"


def too_many_broken(data: Path) -> str:
    for i in range(3):
        (data / f"round/{i}.png").write_bytes(b"no image")
    return "3 of 8 images do not decode, more than max_undecodable"


BAD_DATA = (no_folder, empty, flat, small_class, one_class, too_many_broken)


@pytest.mark.parametrize("spoil", BAD_DATA, ids=lambda spoil: spoil.__name__)
def test_bad_data(run: Run, folders: Path, spoil: Callable[[Path], str]) -> None:
    said = spoil(folders / "data/cells")
    *faults, last = refused(run, folders, "--grid", "grid.yaml")
    assert [fault for fault in faults if fault.startswith("data set cells") and said in fault]
    assert "nothing was started" in last
    assert not list(folders.rglob("*.partial"))


def test_bad_data_of_several_sets_and_missing_weights_at_once(run: Run, there: Path) -> None:
    (there / "grid.yaml").write_text(
        FOLDERS.replace("cells: {reader: image_folder, path: cells, size: 32}", "\n".join([
            "cells: {reader: bone_marrow}",
            "  pcam: {reader: pcam}",
            "  pets: {reader: cats_vs_dogs}",
        ]))
        .replace("scenarios: {Random: {}}", "scenarios: {P: {pretrain: pcam}, Q: {start: theirs, pretrain: pets}}\n"
                 "weights: {theirs: {resnet18: {file: net.pth}}}\npretrain: {learning_rate: 1}")
    )  # fmt: skip
    (there / "data/bone_marrow").mkdir(parents=True)
    (there / "data/pcam").mkdir()
    (there / "data/cats_vs_dogs/Cat").mkdir(parents=True)
    *faults, last = refused(run, there, "--grid", "grid.yaml", "--weights", "w")
    assert len(faults) == 4
    for fault, start, said in zip(
        faults,
        ("data set cells", "data set pcam", "data set pets", "weights theirs of resnet18"),
        ("<CODE>", "camelyonpatch_level_2_split_train_x.h5", "PetImages/Cat", "w/net.pth"),
        strict=True,
    ):
        assert fault.startswith(start)
        assert said in fault
    assert last.startswith("4 inputs are missing")


def test_an_image_that_does_not_decode_is_skipped_counted_and_named(run: Run, folders: Path) -> None:
    broken = folders / "data/cells/round/2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    shown = run("--grid", "grid.yaml", "--plan", "--json")
    assert shown.returncode == 0, shown.stderr
    assert all(stage["key"] for stage in json.loads(shown.stdout)["stages"])
    study = begin(folders)
    rows = study.storage.read_table("data_problems.parquet").to_pylist()
    problems = [row for row in rows if row["image_id"]]
    assert [(row["data_set"], row["image_id"]) for row in problems] == [("cells", "round/2.png")]
    assert "undecodable" in problems[0]["what"]
