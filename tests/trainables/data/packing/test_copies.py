"""Copies of images: planted ones are found, of pixels and nearly; different images are not tied; and it stays quick."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from trainables.arrays import Pixels
from trainables.data.packing.copies import Likenesses, linked_copies, near_pairs, shared_images
from trainables.data.packing.likeness import likeness, pixel_digest
from trainables.data.packing.prepare import prepare

Change = Callable[[Pixels], Pixels]


def encoded(kind: str, **options: Any) -> Change:
    def change(pixels: Pixels) -> Pixels:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind, **options)
        return np.asarray(Image.open(stream).convert("RGB"))

    return change


NEAR: dict[str, Change] = {
    "jpeg 90": encoded("JPEG", quality=90),
    "jpeg 40": encoded("JPEG", quality=40),
    "webp": encoded("WEBP", quality=70),
    "half the size": lambda pixels: np.asarray(Image.fromarray(pixels).resize((len(pixels) // 2,) * 2)),
    **{
        f"symmetry {number}": lambda pixels, n=number: encoded("JPEG", quality=75)(  # type: ignore[misc]
            np.ascontiguousarray(np.rot90(pixels[:, ::-1] if n > 3 else pixels, n % 4))
        )
        for number in range(1, 8)
    },
}


@pytest.fixture(scope="module")
def cells(shared_data: Path) -> list[Pixels]:
    files = sorted((shared_data / "bone_marrow").rglob("*.jpg"))[::4]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


def index(images: list[Pixels]) -> pa.Table:
    return pa.table(
        {
            "image_id": [str(number) for number in range(len(images))],
            "sha256": [f"file {number}" for number in range(len(images))],
            "pixels": [pixel_digest(image) for image in images],
            "likeness": pa.array([likeness(image) or None for image in images], pa.string()),
        }
    )


def test_planted_copies_are_found_and_no_other_cells_are_tied(cells: list[Pixels]) -> None:
    """Every change of every cell is looked for among all cells; exact ones must be found all, near ones 95 %."""
    clean = index(cells)
    assert sum(one is not None for one in linked_copies(clean)) <= 2
    assert len(shared_images(index([cell.copy() for cell in cells]), clean, by_pixels=True)) == len(cells)
    for name, change in NEAR.items():
        planted = index([change(cell) for cell in cells])
        assert len(shared_images(planted, clean, by_pixels=True)) >= 0.95 * len(cells), name
        assert not shared_images(
            planted, clean.set_column(1, "sha256", pa.array(["other"] * len(cells))), by_pixels=False
        )


def test_a_hash_is_the_same_under_all_symmetries(cells: list[Pixels]) -> None:
    for number in range(8):
        turned = np.ascontiguousarray(np.rot90(cells[0][:, ::-1] if number > 3 else cells[0], number % 4))
        assert len(near_pairs(Likenesses([likeness(cells[0]), likeness(turned)]))) == 1


def test_flat_and_noisy_images_are_not_tied() -> None:
    rng = np.random.default_rng(0)
    flat = [np.full((40, 40, 3), grey, np.uint8) for grey in (10, 11, 200)]
    noisy = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(200)]
    assert linked_copies(index([*flat, *noisy])) == [None] * 203
    assert linked_copies(index([flat[0], flat[0].copy(), flat[1]])) == ["0", "0", None]
    assert linked_copies(index([])) == []


def test_many_images_are_searched_in_little_time() -> None:
    """100,000 hashes: 2.5 s on 2 cores, and 25 s for a million. Many equal ones make it no slower."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100_000, 64)) / 8
    vectors[50_000:] = vectors[0]
    found = Likenesses([])
    found.rows = np.arange(len(vectors))
    found.vectors = np.rint(np.clip(vectors, -1, 1) * 127).astype(np.float32) / np.float32(127)
    found.colours = np.full((len(vectors), 3), 100, np.float32)
    start = time.process_time()
    pairs = near_pairs(found)
    assert time.process_time() - start < 60
    assert len(pairs) == 50_000


def test_the_same_picture_as_png_and_tiff_is_one_unit(tmp_path: Path, data_spec: Any) -> None:
    rng = np.random.default_rng(0)
    for number in range(6):
        for name in "ab":
            image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "set" / name / f"{number}.png")
            image.save(tmp_path / "set" / name / f"{number}.tif")

    def problems(**fields: Any) -> list[str]:
        spec = data_spec(reader="image_folder", path="set", **fields)
        return [row["what"] for row in prepare("set", spec, tmp_path, tmp_path / "cache").problems]

    assert problems() == []
    assert sorted(problems(duplicates="pixels")) == sorted(
        f"duplicate of {name}/{number}.png (identical pixels)" for name in "ab" for number in range(6)
    )


def test_images_with_contradicting_labels_are_left_out_unless_told_otherwise(tmp_path: Path, data_spec: Any) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                tmp_path / "set" / name / f"{number}.png"
            )
    Image.open(tmp_path / "set/a/0.png").save(tmp_path / "set/b/zero.bmp")

    def left_out(**fields: Any) -> list[str | None]:
        spec = data_spec(reader="image_folder", path="set", duplicates="pixels", **fields)
        data = prepare("set", spec, tmp_path, tmp_path / "cache")
        assert any("labels contradict in 2 images" in note for note in data.notes)
        return [one for one in data.index.column("left_out").to_pylist() if one]

    what = "labels contradict: the same image, a/0.png is a, b/zero.bmp is b"
    assert left_out(keep=()) == [what, what]
    assert left_out(keep=("contradicting",)) == []
