"""Tests of the reader of PatchCamelyon."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.trainables.support.reading import Spec, refused, scanned
from trainables.data.packing.prepare import prepare

PARTS = {"train": 6, "valid": 4, "test": 2}


@pytest.fixture
def pcam(tmp_path: Path) -> Path:
    """PatchCamelyon's six files, small."""
    rng = np.random.default_rng(0)
    for part, count in PARTS.items():
        pixels = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        write_h5(tmp_path, part, "x", x=pixels)
        write_h5(tmp_path, part, "y", y=(np.arange(count) % 2).astype(np.uint8).reshape(count, 1, 1, 1))
    return tmp_path


def write_h5(root: Path, part: str, axis: str, **content: np.ndarray) -> Path:
    file = root / "pcam" / f"camelyonpatch_level_2_split_{part}_{axis}.h5"
    file.parent.mkdir(exist_ok=True)
    with h5py.File(file, "w") as stream:
        for name, value in content.items():
            stream[name] = value
    return file


def test_patches_keep_their_own_parts(pcam: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="pcam").scan(pcam)
    found = scanned(listing)
    assert len(found) == sum(PARTS.values())
    assert [part for _, _, part in found.values()] == ["train"] * 6 + ["val"] * 4 + ["test"] * 2
    assert found["train/0"][0] == "normal"
    assert found["valid/3"] == ("tumour", None, "val")


def test_patches_are_the_pixels_of_their_row(pcam: Path, data_spec: Spec) -> None:
    packed = prepare("pcam", data_spec(reader="pcam"), pcam, pcam / "cache")
    with h5py.File(pcam / "pcam" / "camelyonpatch_level_2_split_valid_x.h5") as stream:
        expected = stream["x"][:]
    rows = np.array([packed.index.column("image_id").to_pylist().index(f"valid/{i}") for i in range(4)])
    assert np.array_equal(packed.gather(rows), expected)


def test_missing_patches_are_refused_by_file(pcam: Path, data_spec: Spec) -> None:
    (pcam / "pcam" / "camelyonpatch_level_2_split_valid_y.h5").unlink()
    message = refused(data_spec(reader="pcam"), pcam, "split_valid_y.h5", str(pcam / "pcam"), "basveeling/pcam")
    assert "split_train_x.h5" not in message.partition("holds")[0]


@pytest.mark.parametrize(
    ("part", "axis", "content", "words"),
    [
        ("test", "y", {"y": np.zeros((3, 1, 1, 1))}, ["split_test_x.h5 holds 2 images, its y file 3 labels"]),
        ("test", "y", {"y": np.full((2, 1, 1, 1), 2)}, ["split_test_y.h5", "labels other than 0 (normal) and 1"]),
        ("train", "x", {"images": np.zeros((6, 96, 96, 3))}, ["split_train_x.h5", "key x"]),
        ("valid", "y", {}, ["split_valid_y.h5", "key y"]),
    ],
    ids=["counts differ", "a third label", "no x", "no y"],
)
def test_patches_of_another_shape_are_refused(
    pcam: Path, data_spec: Spec, part: str, axis: str, content: dict[str, np.ndarray], words: list[str]
) -> None:
    write_h5(pcam, part, axis, **content)
    refused(data_spec(reader="pcam"), pcam, *words)


def test_a_half_downloaded_file_of_patches_is_refused(pcam: Path, data_spec: Spec) -> None:
    file = pcam / "pcam" / "camelyonpatch_level_2_split_train_x.h5"
    file.write_bytes(file.read_bytes()[:5000])
    refused(data_spec(reader="pcam"), pcam, str(file), "no HDF5 file", "Download or unpack it again")


def test_real_patches(shared_data: Path, data_spec: Spec) -> None:
    listing = data_spec(reader="pcam").scan(shared_data)
    parts = [item.part for item in listing.items]
    assert {part: parts.count(part) for part in set(parts)} == {"train": 1200, "val": 200, "test": 200}
    patch = listing.load(1234)
    assert isinstance(patch, np.ndarray)
    assert patch.shape == (96, 96, 3)
    assert patch.std() > 5


def _hostile(kind: str, file: h5py.File) -> None:
    if kind == "made up":
        file.create_dataset("x", (10**9, 96, 96, 3), "uint8", chunks=(1, 96, 96, 3), fillvalue=7)
    elif kind == "half made up":
        file.create_dataset("x", (6, 96, 96, 3), "uint8", chunks=(1, 96, 96, 3))[0] = 1
    elif kind == "not written":
        file.create_dataset("x", (6, 96, 96, 3), "uint8")
    elif kind == "huge pieces":
        file.create_dataset("x", (9999, 200, 200, 3), "uint8", chunks=(9999, 200, 200, 3), compression="gzip")
    elif kind == "scalar":
        file["x"] = 3
    elif kind == "group":
        file.create_group("x")
    elif kind == "circle":
        file["x"] = h5py.SoftLink("/y")
        file["y"] = h5py.SoftLink("/x")
    elif kind == "elsewhere":
        file["x"] = h5py.ExternalLink("/etc/passwd", "/x")
    elif kind == "floats":
        file["x"] = np.zeros((6, 96, 96, 3))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("made up", "x has 1,000,000,000 rows; at most 20,000,000"),
        ("half made up", "of which the file holds only 16.7%: the rest was never written"),
        ("not written", "never written"),
        ("huge pieces", "lies in pieces of 1,199,880,000 bytes"),
        ("scalar", "a single value"),
        ("group", "x is a group"),
        ("circle", "link to another place (SoftLink)"),
        ("elsewhere", "link to another place (ExternalLink)"),
        ("floats", "expected uint8 of shape"),
    ],
)
def test_a_file_that_is_not_what_it_claims_is_refused_at_once(
    pcam: Path, data_spec: Spec, kind: str, words: str
) -> None:
    with h5py.File(pcam / "pcam" / "camelyonpatch_level_2_split_train_x.h5", "w") as file:
        _hostile(kind, file)
    refused(data_spec(reader="pcam"), pcam, words)
