"""What a grid needs from outside: found, prepared once, and fingerprinted; or named with where it was looked for."""

from __future__ import annotations

import hashlib
import os
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

Load = Callable[..., Grid]
Document = dict[str, Any]


@pytest.fixture(autouse=True)
def no_download_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Inputs]:
    """Gather what there is in ``data``, ``weights`` and ``cache`` of the test's folder."""
    return lambda grid, weights=None: gather(grid, tmp_path / "data", weights, tmp_path / "cache")


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
    told: list[tuple[str, int, int]] = []
    grid = load(grid_text)

    def look() -> Inputs:
        return gather(grid, tmp_path, None, tmp_path / "cache", lambda *progress: told.append(progress))

    first = look()
    assert told[-1] == ("tissue", 12, 12)
    assert ("cells", 36, 36) in told
    told.clear()
    again = look()
    assert not told
    assert {name: data.fingerprint for name, data in again.data.items()} == {
        name: data.fingerprint for name, data in first.data.items()
    }
    assert {name: split.digest for name, split in again.splits.items()} == {
        name: split.digest for name, split in first.splits.items()
    }


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


def starting(load: Load, document: Document, source: Document, architecture: str = "resnet18") -> Grid:
    document["weights"] = {"imagenet": {architecture: source}}
    document["scenarios"] = {"Start": {"start": "imagenet"}}
    document["axes"]["architecture"] = [architecture]
    return load(document)


def put(file: Path, content: bytes = b"weights") -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_weights_by_file_are_looked_for_below_the_folder(
    load: Load, document: Document, look: Any, tmp_path: Path
) -> None:
    grid = starting(load, document, {"file": "theirs/net.pth"})
    [fault] = look(grid, tmp_path / "w").missing
    assert str(tmp_path / "w/theirs/net.pth") in fault
    assert "--weights" in fault
    sha256 = put(tmp_path / "w/theirs/net.pth")
    inputs = look(grid, tmp_path / "w")
    assert not inputs.missing
    assert inputs.weights["imagenet", "resnet18"].sha256 == sha256
    assert inputs.weights["imagenet", "resnet18"].path == tmp_path / "w/theirs/net.pth"


PLACES = [
    ("resnet18", "IMAGENET1K_V1", "w/resnet18-f37072fd.pth"),
    ("resnet18", "IMAGENET1K_V1", "w/torchvision-resnet18-IMAGENET1K_V1.pth"),
    ("resnet18", "IMAGENET1K_V1", "home/.cache/torch/hub/checkpoints/resnet18-f37072fd.pth"),
    ("timm/test_resnet", "r160_in1k", "w/timm-test_resnet-r160_in1k.safetensors"),
    (
        "timm/test_resnet",
        "r160_in1k",
        "home/.cache/huggingface/hub/models--timm--test_resnet.r160_in1k/snapshots/0123abc/model.safetensors",
    ),
]


@pytest.mark.parametrize(("architecture", "version", "place"), PLACES, ids=[case[2] for case in PLACES])
def test_published_weights_are_found_as_files_and_in_the_download_caches(
    load: Load, document: Document, look: Any, tmp_path: Path, architecture: str, version: str, place: str
) -> None:
    grid = starting(load, document, {"version": version}, architecture)
    [fault] = look(grid, tmp_path / "w").missing
    assert "https://" in fault
    assert str(tmp_path / "home") in fault
    assert str(tmp_path / "w") in fault
    sha256 = put(tmp_path / place)
    assert look(grid, tmp_path / "w").weights["imagenet", architecture].sha256 == sha256


@pytest.mark.parametrize(
    ("variable", "architecture", "place"),
    [
        ("TORCH_HOME", "resnet18", "elsewhere/hub/checkpoints/resnet18-f37072fd.pth"),
        ("XDG_CACHE_HOME", "resnet18", "elsewhere/torch/hub/checkpoints/resnet18-f37072fd.pth"),
        ("HF_HUB_CACHE", "timm/test_resnet", "elsewhere/models--timm--test_resnet.r160_in1k/snapshots/0/model.safetensors"),
        ("HF_HOME", "timm/test_resnet", "elsewhere/hub/models--timm--test_resnet.r160_in1k/snapshots/0/model.safetensors"),
    ],
)  # fmt: skip
def test_the_libraries_variables_are_heeded(
    load: Load,
    document: Document,
    look: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    architecture: str,
    place: str,
) -> None:
    version = "IMAGENET1K_V1" if architecture == "resnet18" else "r160_in1k"
    grid = starting(load, document, {"version": version}, architecture)
    put(tmp_path / place)
    assert look(grid).missing
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert not look(grid).missing


def test_digests_of_weights_are_remembered_until_the_file_changes(
    load: Load, document: Document, look: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = starting(load, document, {"file": "net.pth"})
    file = tmp_path / "w/net.pth"
    first = put(file)
    assert look(grid, tmp_path / "w").weights["imagenet", "resnet18"].sha256 == first

    def read_again(*arguments: Any) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", read_again)
        assert look(grid, tmp_path / "w").weights["imagenet", "resnet18"].sha256 == first
    other = put(file, b"other weights")
    os.utime(file, (1, 1))
    assert look(grid, tmp_path / "w").weights["imagenet", "resnet18"].sha256 == other


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "null"])
def test_a_spoilt_memory_of_digests_does_no_harm(
    load: Load, document: Document, look: Any, tmp_path: Path, content: str
) -> None:
    sha256 = put(tmp_path / "w/net.pth")
    put(tmp_path / "cache/digests.json", content.encode())
    grid = starting(load, document, {"file": "net.pth"})
    assert look(grid, tmp_path / "w").weights["imagenet", "resnet18"].sha256 == sha256


def test_where_nothing_can_be_remembered_weights_are_still_found(
    load: Load, document: Document, tmp_path: Path
) -> None:
    sha256 = put(tmp_path / "w/net.pth")
    grid = starting(load, document, {"file": "net.pth"})
    put(tmp_path / "no folder")
    inputs = gather(grid, tmp_path, tmp_path / "w", tmp_path / "no folder")
    assert inputs.weights["imagenet", "resnet18"].sha256 == sha256
    assert all("cannot prepare" in fault for fault in inputs.missing)


def test_the_real_sets_and_weights(shared_data: Path, shared_weights: Path, tmp_path: Path) -> None:
    inputs = gather(load_grid("mini"), shared_data, shared_weights, tmp_path / "cache")
    assert not inputs.missing
    assert set(inputs.data) == {"bone_marrow", "pcam", "cats_vs_dogs"}
    assert set(inputs.weights) == {("imagenet", "tf_efficientnet_lite0"), ("imagenet", "squeezenet1_1")}
    assert len(inputs.splits["bone_marrow"].table) == 5 * len(inputs.data["bone_marrow"].labels)
