"""A study that was begun: gone on with, refused where its data or split changed, held by another driver."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sweep.engine.study_lock import study_lock
from tests.sweep.support.command_line import Run, refused, tree
from trainables.store.storage import Storage
from trainables.store.study import Study


def test_the_same_grid_may_go_on_and_the_study_is_left_as_it_is(run: Run, again: Path) -> None:
    before = tree(again)
    done = run("--grid", "grid.yaml", "--plan")
    assert done.returncode == 0, done.stderr
    assert tree(again) == before


OTHER = [
    (("data.cells.images_per_class=7",), ("the target data (cells)", "the split")),
    (("split.val_fraction=0.5",), ("the split",)),
]


@pytest.mark.parametrize(("settings", "what"), OTHER, ids=[case[0][0] for case in OTHER])
def test_a_study_of_other_data_or_of_another_split_is_refused(
    run: Run, again: Path, settings: tuple[str, ...], what: tuple[str, ...]
) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    faults = refused(run, again, "--grid", "grid.yaml", *given)
    assert len(faults) == len(what)
    for fault, name in zip(faults, what, strict=True):
        assert str(again / "studies/grid") in fault
        assert f"was made with {name}" in fault
        assert "give --study another name" in fault
    assert run("--grid", "grid.yaml", *given, "--plan", "--study", "another").returncode == 0


def test_stages_wider_than_the_cluster_can_ever_be_are_refused_before_anything_starts(run: Run, again: Path) -> None:
    threads = ("--set", "recipe.threads=4096")
    [fault] = refused(run, again, "--grid", "grid.yaml", *threads)
    assert fault.startswith("9 stages are wider than the cluster: each needs 4096 CPUs on one node (recipe.threads)")
    planned = run("--grid", "grid.yaml", "--plan", *threads)
    assert planned.returncode == 0
    assert "not on this machine: 9 stages are wider" in planned.stdout
    elsewhere = run("--grid", "grid.yaml", "--plan", *threads, "--device", "a10g")
    assert "not on this machine" not in elsewhere.stdout


def test_what_is_missing_besides_is_said_with_it(run: Run, again: Path) -> None:
    faults = refused(
        run, again, "--grid", "grid.yaml", "--set", "split.val_fraction=0.5",
        "--set", "data.tissue={reader: image_folder, path: theirs}",
    )  # fmt: skip
    assert len(faults) == 2
    assert "the split" in faults[0]
    assert "data set tissue" in faults[1]


def test_another_pretraining_set_is_no_other_study(run: Run, again: Path) -> None:
    done = run("--grid", "grid.yaml", "--plan", "--set", "data.tissue.images_per_class=9")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [b"{", b"{}"], ids=repr)
def test_a_spoilt_header_is_said_and_left(run: Run, again: Path, content: bytes) -> None:
    (again / "studies/grid/study.json").write_bytes(content)
    faults = refused(run, again, "--grid", "grid.yaml")
    assert all(str(again / "studies/grid") in fault for fault in faults)


@pytest.mark.parametrize("storage", ["a file", "s3://"])
def test_a_storage_that_cannot_be(run: Run, there: Path, storage: str) -> None:
    (there / "a file").write_text("mine")
    faults = refused(run, there, "--grid", "grid.yaml", "--storage", storage)
    assert any(storage in fault for fault in faults)


def test_a_study_that_is_held_is_refused_with_its_holder(run: Run, again: Path) -> None:
    with study_lock(Study(Storage(again / "studies/grid"))):
        before = tree(again)
        done = run("--grid", "grid.yaml")
        assert done.returncode == 3
        assert f"process {os.getpid()}" in done.stderr
        assert "Traceback" not in done.stderr
        assert tree(again) == before
        assert run("--grid", "grid.yaml", "--plan").returncode == 0, "looking is allowed"


@pytest.mark.parametrize("name", ["with spaces ☃ étude 研究", "[red]a:key:b"])
def test_a_study_may_be_called_as_one_likes(run: Run, again: Path, name: str) -> None:
    shutil.copytree(again / "studies/grid", again / "studies" / name)
    [fault] = refused(run, again, "--grid", "grid.yaml", f"--study={name}", "--set", "split.val_fraction=0.5")
    assert str(again / "studies" / name) in fault
