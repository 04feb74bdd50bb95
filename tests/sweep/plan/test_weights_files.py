"""Files of initial weights: where they are looked for, and their digests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.grid.grid import Grid
from sweep.plan.inputs import gather

pytestmark = pytest.mark.usefixtures("no_download_caches")
Load = Callable[..., Grid]
Document = dict[str, Any]


def starting(load: Load, document: Document, source: Document, architecture: str = "resnet18") -> Grid:
    document["weights"] = {"imagenet": {architecture: source}}
    document["scenarios"] = {"Start": {"start": "imagenet"}}
    document["axes"]["architecture"] = [architecture]
    return load(document)


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
