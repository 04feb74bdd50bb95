"""Tests of what a prepared data set gives: images in any order, labels, numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.trainables.support.prepared_sets import all_images, ids
from trainables.data.packing.decode import decode
from trainables.data.packing.prepare import load, prepare
from trainables.data.packing.shards import MOST_ROWS, rows_per_shard

Spec = Callable[..., Any]
Write = Callable[..., Path]


def test_images_are_what_pil_decodes(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    packed = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert packed.size == 24
    for image_id, image in zip(ids(packed), all_images(packed), strict=True):
        assert np.array_equal(image, np.asarray(Image.open(root / "set" / image_id)))


def test_images_of_mixed_sizes_are_packed_at_a_size(
    root: Path, folder_spec: Spec, tmp_path: Path, write_image: Write
) -> None:
    write_image(root / "set" / "a" / "wide.png", 7, width=60, height=30)
    packed = prepare("set", folder_spec(size=16), root, tmp_path / "cache")
    assert all_images(packed).shape == (9, 16, 16, 3)
    expected = decode((root / "set" / "a" / "wide.png").read_bytes(), 16)
    assert np.array_equal(packed.gather(np.array([ids(packed).index("a/wide.png")]))[0], expected)


def test_more_images_than_a_shard_holds_are_found_in_any_order(tmp_path: Path, data_spec: Spec) -> None:
    count = MOST_ROWS + 40
    pixels = np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    (tmp_path / "pcam").mkdir()
    for part, rows in {
        "train": slice(0, count - 4),
        "valid": slice(count - 4, count - 2),
        "test": slice(-2, None),
    }.items():
        for axis, value in {"x": pixels[rows], "y": np.arange(len(pixels[rows])) % 2}.items():
            with h5py.File(tmp_path / "pcam" / f"camelyonpatch_level_2_split_{part}_{axis}.h5", "w") as stream:
                stream[axis] = value
    told: list[tuple[str, int, int]] = []
    packed = prepare("pcam", data_spec(reader="pcam"), tmp_path, tmp_path / "cache", lambda *now: told.append(now))
    mixed = np.random.default_rng(1).permutation(count)
    assert np.array_equal(packed.gather(mixed), pixels[mixed])
    assert packed.gather(np.zeros(0, dtype=np.int64)).shape == (0, 96, 96, 3)
    assert [shard.rows for shard in packed.shards] == [rows_per_shard(96), count - rows_per_shard(96)]
    assert told == [("pcam", done, count) for done in range(0, count + 1, 8)], "told often enough for a bar"
    assert Counter(packed.index.column("part").to_pylist()) == {"train": count - 4, "val": 2, "test": 2}


def test_labels_are_places_in_the_sorted_classes(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    for number, name in enumerate(["zeta/1.png", "Alpha/1.png", "beta/1.png", "zeta/2.png"]):
        write_image(tmp_path / "set" / name, number)
    packed = prepare("set", data_spec(reader="image_folder", path="set"), tmp_path, tmp_path / "cache")
    assert packed.classes == ("Alpha", "beta", "zeta")
    assert dict(zip(ids(packed), packed.labels.tolist(), strict=True)) == {
        "Alpha/1.png": 0,
        "beta/1.png": 1,
        "zeta/1.png": 2,
        "zeta/2.png": 2,
    }
    assert packed.labels.dtype == np.int64


def test_image_numbers_come_from_the_id_alone(
    root: Path, folder_spec: Spec, tmp_path: Path, write_image: Write
) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    write_image(root / "set" / "a" / "0.png", 99)
    (root / "set" / "a" / "1.png").unlink()
    other = prepare("set", folder_spec(size=16), root, tmp_path / "cache")
    numbers = dict(zip(ids(first), first.image_numbers.tolist(), strict=True))
    assert len(set(numbers.values())) == len(numbers)
    assert dict(zip(ids(other), other.image_numbers.tolist(), strict=True)).items() <= numbers.items()


def test_nothing_prepared_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        load(tmp_path / "nowhere")
