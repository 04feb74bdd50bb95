"""The data sets of a grid: found, prepared once and fingerprinted; or named with where they were looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.plan.inputs import Inputs, gather
from sweep.plan.plan import make_plan

pytestmark = pytest.mark.usefixtures("no_download_caches")
Load = Callable[..., Grid]
Document = dict[str, Any]


@pytest.fixture
def folders(document: Document, tmp_path: Path) -> Document:
    """A grid whose target is a folder of images: 2 classes of 6, all different."""
    document["data"]["cells"] = {"reader": "image_folder", "path": "cells", "size": 32}
    for label in ("round", "square"):
        for i in range(6):
            paint(tmp_path / f"data/cells/{label}/{i}.png", seed=len(label) * 100 + i)
    return document


def paint(file: Path, seed: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    return file


def of_images(inputs: Inputs) -> list[dict[str, str]]:
    """The problems that are of an image, without what the small splits of these tests lack."""
    return [problem for problem in inputs.problems if problem["image_id"]]


def test_everything_at_hand(load: Load, grid_text: str, look: Callable[..., Inputs]) -> None:
    inputs = look(load(grid_text))
    assert not inputs.missing
    assert not of_images(inputs)
    assert all(problem["data_set"] in inputs.splits for problem in inputs.problems), "what a split lacks is said"
    assert set(inputs.data) == set(inputs.splits) == {"cells", "tissue"}
    target, pretraining = (inputs.splits[name].table.to_pylist() for name in ("cells", "tissue"))
    assert {row["fold"] for row in target} == {0, 1}
    assert {row["split"] for row in target} == {"train", "val", "test"}
    assert {row["fold"] for row in pretraining} == {0}
    assert {row["split"] for row in pretraining} == {"train", "val"}


def test_only_what_the_stages_use_is_prepared(load: Load, grid_text: str, look: Any) -> None:
    assert set(look(load(grid_text, "scenario=[Random]")).data) == {"cells"}


def test_the_size_of_the_images_is_that_at_hand_or_as_published(load: Load, grid_text: str, look: Any) -> None:
    grid = load(grid_text)
    inputs = look(grid)
    pixels = sum(len(data.labels) * data.size**2 * 3 for data in inputs.data.values())
    assert pixels <= inputs.packed_bytes(grid.data_specs) < 1.1 * pixels + 20_000, (
        "and what tells one batch from another"
    )
    assert Inputs().packed_bytes(grid.data_specs) is None, "nobody published them"
    mini = load_grid("mini", ["data.bone_marrow.size=100"])
    published = 171_373 * 100**2 * 3 + 327_680 * 96**2 * 3 + 25_000 * 128**2 * 3
    assert Inputs().packed_bytes(mini.data_specs) == published


def test_data_are_prepared_once_and_the_progress_told(load: Load, grid_text: str, tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    grid = load(grid_text)

    def look() -> Inputs:
        return gather(grid, tmp_path, None, tmp_path / "cache", lambda *progress: reported.append(progress))

    first = look()
    assert reported[-1] == ("tissue", 12, 12)
    assert ("cells", 36, 36) in reported
    reported.clear()
    again = look()
    assert not reported
    assert {name: data.fingerprint for name, data in again.data.items()} == {
        name: data.fingerprint for name, data in first.data.items()
    }
    assert {name: split.digest for name, split in again.splits.items()} == {
        name: split.digest for name, split in first.splits.items()
    }


def test_prepared_data_that_are_damaged_are_named_and_prepared_again(load: Load, grid_text: str, look: Any) -> None:
    grid = load(grid_text)
    first = look(grid)
    assert first.repaired == []
    (first.data["cells"].folder / "meta.json").write_text("{")
    again = look(grid)
    (line,) = again.repaired
    assert line.startswith("data set cells was damaged, and is prepared again: meta.json cannot be read: ")
    assert again.data == first.data
    assert again.missing == []
    assert look(grid).repaired == []


def test_costs_count_the_training_images_of_one_fold(load: Load, grid_text: str, look: Any) -> None:
    grid = load(grid_text)
    inputs = look(grid)
    plan = make_plan(grid, inputs)
    costs = inputs.costs(plan.stages, plan.grid.file)
    [pretrain] = [stage for stage in plan.stages if stage.kind == "pretrain"]
    trained = {
        "pretrain": inputs.splits["tissue"].table.column("split").to_pylist().count("train"),
        "finetune": inputs.splits["cells"].table.column("split").to_pylist().count("train") // 2,
    }
    per_image = costs[str(pretrain.key)] / (2 * trained["pretrain"])
    for cell in plan.cells:
        assert costs[str(cell.key)] == pytest.approx(per_image * 3 * trained["finetune"])


MISSING = {
    "bone_marrow": (("x",), "bone_marrow/loose.png", "Expected"),
    "cats_vs_dogs": (("PetImages/Cat", "PetImages/Dog"), "PetImages/Cat/1.png", "PetImages/Dog"),
    "pcam": (("camelyonpatch_level_2_split_valid_x.h5",), "camelyonpatch_level_2_split_train_x.h5", "split_valid_y.h5"),
}


def of_reader(load: Load, document: Document, reader: str) -> Grid:
    document["data"]["tissue"] = {"reader": reader, "path": "theirs"}
    return load(document)


@pytest.mark.parametrize("reader", [*MISSING, "image_folder", "manifest"])
def test_an_absent_data_set_is_named_with_where_it_was_looked_for(
    load: Load, document: Document, look: Any, reader: str, tmp_path: Path
) -> None:
    [fault] = look(of_reader(load, document, reader)).missing
    assert fault.startswith("data set tissue")
    assert str(tmp_path / "data" / "theirs") in fault


@pytest.mark.parametrize("reader", [*MISSING, "image_folder"])
@pytest.mark.parametrize("content", ["nothing", "other files", "other layout"])
def test_an_empty_folder_and_a_wrong_layout_say_describe_folder(
    load: Load, document: Document, look: Any, reader: str, content: str, tmp_path: Path
) -> None:
    theirs = tmp_path / "data/theirs"
    theirs.mkdir(parents=True)
    if content == "other files":
        (theirs / "readme.txt").write_text("nothing to see")
    if content == "other layout":
        paint(theirs / "loose.png")
    [fault] = look(of_reader(load, document, reader)).missing
    assert str(theirs) in fault
    assert {"nothing": "holds nothing", "other files": "readme.txt", "other layout": "loose.png"}[content] in fault
    assert not list((tmp_path / "cache").glob("data/tissue-*/meta.json"))


def test_several_things_missing_are_all_named(load: Load, document: Document, look: Any, tmp_path: Path) -> None:
    document["data"] = {"cells": {"reader": "bone_marrow"}, "tissue": {"reader": "pcam"}}
    document["weights"] = {"imagenet": {"tiny": {"file": "theirs.pth"}}}
    document["scenarios"]["Start"] = {"start": "imagenet"}
    faults = look(load(document), tmp_path / "weights").missing
    assert len(faults) == 3
    assert [fault.split(":")[0] for fault in faults] == [
        "data set cells",
        "data set tissue",
        "weights imagenet of tiny",
    ]
    assert str(tmp_path / "weights/theirs.pth") in faults[2]


@pytest.mark.parametrize("folds", [5, 7])
def test_a_class_with_fewer_images_than_folds_is_named_with_its_count(
    load: Load, folders: Document, look: Any, folds: int, tmp_path: Path
) -> None:
    for i in range(2, 6):
        (tmp_path / f"data/cells/square/{i}.png").unlink()
    folders["split"]["folds"] = folds
    [fault, *_] = look(load(folders)).missing
    assert f"fewer images than the {folds} folds" in fault
    assert "square (2)" in fault
    assert ("round (6)" in fault) == (folds == 7)
    assert fault.count("data set cells") == 1


def test_groups_are_not_divided_to_fill_folds(load: Load, folders: Document, look: Any, tmp_path: Path) -> None:
    folders["data"]["cells"]["groups"] = "groups.csv"
    names = [f"{label}/{i}.png" for label in ("round", "square") for i in range(6)]
    (tmp_path / "data/cells/groups.csv").write_text("path,group\n" + "".join(f"{name},one\n" for name in names))
    assert any("1 groups cannot fill 2 folds" in fault for fault in look(load(folders)).missing)


def test_an_image_that_does_not_decode_is_left_out_and_named(
    load: Load, folders: Document, look: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "data/cells/round/3.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / "data/cells/square/5.png").write_bytes(b"")
    inputs = look(load(folders))
    assert not inputs.missing
    assert [(p["data_set"], p["image_id"]) for p in of_images(inputs)] == [
        ("cells", "round/3.png"),
        ("cells", "square/5.png"),
    ]
    assert all("undecodable" in problem["what"] for problem in of_images(inputs))
    assert len(inputs.data["cells"].labels) == 10
    assert "round/3.png" not in inputs.splits["cells"].table.column("image_id").to_pylist()


def test_too_many_of_them_are_an_error_with_examples(load: Load, folders: Document, look: Any, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"data/cells/round/{i}.png").write_bytes(b"no image")
    [fault] = look(load(folders)).missing
    assert "3 of 12 images do not decode" in fault
    assert "round/0.png" in fault
    folders["data"]["cells"]["max_undecodable"] = 0.5
    assert not look(load(folders)).missing


def test_images_of_identical_bytes_are_named(load: Load, folders: Document, look: Any, tmp_path: Path) -> None:
    (tmp_path / "data/cells/round/7.png").write_bytes((tmp_path / "data/cells/round/0.png").read_bytes())
    [problem] = of_images(look(load(folders)))
    assert problem["image_id"] == "round/7.png"
    assert "round/0.png" in problem["what"]


def test_a_pretraining_set_that_holds_test_images_is_refused(
    load: Load, folders: Document, look: Any, tmp_path: Path
) -> None:
    folders["data"]["tissue"] = {"reader": "image_folder", "path": "theirs"}
    for i in range(4):
        paint(tmp_path / f"data/theirs/{'ab'[i % 2]}/{i}.png", seed=900 + i)
    assert not look(load(folders)).missing
    (tmp_path / "data/theirs/a/copy.png").write_bytes((tmp_path / "data/cells/round/0.png").read_bytes())
    [fault] = look(load(folders)).missing
    assert fault.startswith("data set tissue: 1 of its images")


def test_a_changed_file_is_seen(load: Load, folders: Document, look: Any, tmp_path: Path) -> None:
    before = look(load(folders)).data["cells"].fingerprint
    paint(tmp_path / "data/cells/round/0.png", seed=4711)
    assert look(load(folders)).data["cells"].fingerprint != before


def test_the_real_sets_and_weights(shared_data: Path, shared_weights: Path, tmp_path: Path) -> None:
    inputs = gather(load_grid("mini"), shared_data, shared_weights, tmp_path / "cache")
    assert not inputs.missing
    assert set(inputs.data) == {"bone_marrow", "pcam", "cats_vs_dogs"}
    assert set(inputs.weights) == {("imagenet", "tf_efficientnet_lite0"), ("imagenet", "squeezenet1_1")}
    assert len(inputs.splits["bone_marrow"].table) == 5 * len(inputs.data["bone_marrow"].labels)
