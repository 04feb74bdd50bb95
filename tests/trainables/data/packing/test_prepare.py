"""Tests of packed data sets."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image, ImageOps

from trainables.data.packing.arrow_images import BATCH_ROWS
from trainables.data.packing.decode import decode
from trainables.data.packing.prepare import Packed, load, prepare
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_image: Write) -> Path:
    """Two classes of four images, in a folder whose name is not plain."""
    for number in range(4):
        write_image(tmp_path / "my dätä" / "set" / "a" / f"{number}.png", number)
        write_image(tmp_path / "my dätä" / "set" / "b" / f"{number}.png", 10 + number)
    return tmp_path / "my dätä"


@pytest.fixture
def folder_spec(data_spec: Spec) -> Spec:
    return lambda **fields: data_spec(reader="image_folder", path="set", **fields)


def ids(packed: Packed) -> list[str]:
    return packed.index.column("image_id").to_pylist()


def all_images(packed: Packed) -> np.ndarray:
    return packed.gather(np.arange(len(packed.labels)))


def left_in(cache: Path) -> list[Path]:
    """What lies in a cache but the files that only ever serve as locks."""
    return [path for path in cache.iterdir() if path.suffix != ".lock"] if cache.exists() else []


# What is packed


def test_images_are_what_pil_decodes(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    packed = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert packed.size == 24
    for image_id, image in zip(ids(packed), all_images(packed), strict=True):
        assert np.array_equal(image, np.asarray(Image.open(root / "set" / image_id)))


def saved(folder: Path, image: Image.Image, name: str, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    file = saved(tmp_path, image, "x.tif" if mode == "CMYK" else "x.png")
    decoded = decode(file.read_bytes(), None)
    assert decoded.shape == (20, 30, 3)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("name", "tolerance"), [("x.jpg", 12), ("x.webp", 12), ("x.bmp", 0), ("x.tif", 0), ("x.png", 0)]
)
def test_every_format_is_decoded(tmp_path: Path, name: str, tolerance: int) -> None:
    ramp = np.linspace(40, 200, 32 * 32).reshape(32, 32, 1).repeat(3, 2).astype(np.uint8)
    decoded = decode(saved(tmp_path, Image.fromarray(ramp), name).read_bytes(), None)
    assert np.abs(decoded.astype(int) - ramp).max() <= tolerance


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 75}),
        ("RGB", {"quality": 99, "subsampling": 0}),
        ("RGB", {"quality": 30, "subsampling": 1}),
        ("RGB", {"quality": 85, "progressive": True, "optimize": True}),
        ("L", {"quality": 80}),
        ("CMYK", {"quality": 90}),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_jpeg_has_the_bits_that_pil_decodes(tmp_path: Path, mode: str, options: dict[str, Any], turned: bool) -> None:
    """Whoever decodes it; and, as with Pillow, a note of how the camera was held turns nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((77, 53), Image.Resampling.BICUBIC).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    content = saved(tmp_path, image, "x.jpg", exif=exif, **options).read_bytes()
    assert np.array_equal(decode(content, None), np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB")))
    square = ImageOps.fit(Image.open(tmp_path / "x.jpg").convert("RGB"), (32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(content, 32), np.asarray(square))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("ending", [b"", b"\xff\xd9", b"\0" * 512])
def test_a_jpeg_that_is_cut_off_comes_out_as_with_pil(tmp_path: Path, share: float, ending: bytes) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    whole = saved(tmp_path, Image.fromarray(noise), "x.jpg").read_bytes()
    content = whole[: int(len(whole) * share)] + ending
    try:
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    except OSError:
        with pytest.raises(OSError, match="truncated"):
            decode(content, None)
    else:
        assert np.array_equal(decode(content, None), expected)


def test_a_size_scales_the_shorter_side_and_cuts_the_centre_out() -> None:
    wide = np.zeros((40, 80, 3), dtype=np.uint8)
    wide[:, 20:60] = 200  # the centre; what is beside it is black
    decoded = decode(wide, 20)
    assert decoded.shape == (20, 20, 3)
    assert decoded[:, 1:-1].min() == 200
    assert decode(wide.transpose(1, 0, 2).copy(), 20).shape == (20, 20, 3)
    assert np.array_equal(decode(wide[:, 20:60].copy(), 40), wide[:, 20:60])


def test_images_of_mixed_sizes_are_packed_at_a_size(
    root: Path, folder_spec: Spec, tmp_path: Path, write_image: Write
) -> None:
    write_image(root / "set" / "a" / "wide.png", 7, width=60, height=30)
    packed = prepare("set", folder_spec(size=16), root, tmp_path / "cache")
    assert all_images(packed).shape == (9, 16, 16, 3)
    expected = decode((root / "set" / "a" / "wide.png").read_bytes(), 16)
    assert np.array_equal(packed.gather(np.array([ids(packed).index("a/wide.png")]))[0], expected)


def test_more_images_than_a_record_batch_are_found_in_any_order(tmp_path: Path, data_spec: Spec) -> None:
    count = BATCH_ROWS + 40
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
    rows = np.random.default_rng(1).permutation(count)
    assert np.array_equal(packed.gather(rows), pixels[rows])
    assert packed.gather(np.zeros(0, dtype=np.int64)).shape == (0, 96, 96, 3)
    assert told == [("pcam", done, count) for done in [*range(0, count, 32), count]], "told often enough for a bar"
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


# Identity


def test_a_second_preparation_reads_the_cache(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    before = (first.folder / "images.arrow").stat().st_mtime_ns
    told: list[Any] = []
    again = prepare("set", folder_spec(), root, tmp_path / "cache", lambda *now: told.append(now))
    assert again == first == load(first.folder)
    assert (first.folder / "images.arrow").stat().st_mtime_ns == before
    assert told == []


def test_index_and_fingerprint_do_not_depend_on_the_cache_or_the_place_of_the_data(
    root: Path, folder_spec: Spec, data_spec: Spec, tmp_path: Path
) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    shutil.copytree(root / "set", tmp_path / "elsewhere" / "copy")  # at other times
    for spec, where in ((folder_spec(), root), (data_spec(reader="image_folder", path="copy"), tmp_path / "elsewhere")):
        other = prepare("other name", spec, where, tmp_path / "another cäche")
        assert other.fingerprint == first.fingerprint
        assert other.index.equals(first.index)
        assert np.array_equal(other.image_numbers, first.image_numbers)
        assert np.array_equal(all_images(other), all_images(first))


def test_the_fingerprint_does_not_depend_on_the_order_of_a_list(root: Path, data_spec: Spec, tmp_path: Path) -> None:
    rows = [f"{file.relative_to(root / 'set').as_posix()},{file.parent.name}" for file in (root / "set").rglob("*.png")]
    found = []
    for name, listed in (("up.csv", sorted(rows)), ("down.csv", sorted(rows, reverse=True))):
        (root / "set" / name).write_text("\n".join(["path,label", *listed]))
        found.append(prepare("set", data_spec(reader="manifest", path=f"set/{name}"), root, tmp_path / "cache"))
    assert ids(found[0]) == ids(found[1])[::-1]
    assert found[0].fingerprint == found[1].fingerprint


def test_a_known_fingerprint(tmp_path: Path, data_spec: Spec) -> None:
    """If it changes, no finished stage counts any more. Bitmaps: their bytes depend on no library's version."""
    pixels = np.arange(2 * 16 * 16 * 3, dtype=np.uint32).reshape(2, 16, 16, 3).astype(np.uint8)
    for name, image in zip(("a/1.bmp", "b/ü.bmp"), pixels, strict=True):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "set" / name)
    (tmp_path / "set" / "g.csv").write_text("path,group\na/1.bmp,p1\nb/ü.bmp,p2\n", encoding="utf-8")
    spec = data_spec(reader="image_folder", path="set", groups="g.csv")
    packed = prepare("set", spec, tmp_path, tmp_path / "cache")
    assert packed.fingerprint == "2e08ce9f2497bb01aa44b94647a5c6b6082b255ed246367714d7eca8d13a14b0"
    assert packed.image_numbers.tolist() == [4774222483381591403, 5414799847998084980]


def test_touched_files_are_prepared_anew_with_the_same_fingerprint(
    root: Path, folder_spec: Spec, tmp_path: Path
) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    os.utime(root / "set" / "a" / "0.png", ns=(1, 1))
    again = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert again.folder != first.folder
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("change", ["content", "name", "class", "gone", "group"])
def test_other_content_has_another_fingerprint(
    root: Path, folder_spec: Spec, tmp_path: Path, write_image: Write, change: str
) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    file, options = root / "set" / "a" / "0.png", {}
    if change == "content":
        write_image(file, 99)
    elif change == "name":
        file.rename(root / "set" / "a" / "00.png")
    elif change == "class":
        file.rename(root / "set" / "b" / "00.png")
    elif change == "gone":
        file.unlink()
    else:
        rows = [f"{image_id},p{image_id[0]}" for image_id in ids(first)]
        (root / "set" / "groups.csv").write_text("\n".join(["path,group", *rows]))
        options = {"groups": "groups.csv"}
    other = prepare("set", folder_spec(**options), root, tmp_path / "cache")
    assert other.fingerprint != first.fingerprint
    assert (other.folder / "images.arrow").is_file()
    assert (first.folder / "images.arrow").is_file()


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


# What is wrong with the data


def test_a_few_broken_images_are_left_out_and_named(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    (root / "set" / "a" / "broken.png").write_bytes(b"no image")
    (root / "set" / "b" / "empty.png").write_bytes(b"")
    packed = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert len(packed.labels) == 8
    assert [problem["image_id"] for problem in packed.problems] == ["a/broken.png", "b/empty.png"]
    assert all(problem["what"].startswith("undecodable: ") for problem in packed.problems)


def test_too_many_broken_images_are_refused_and_nothing_is_left(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    for number in range(3):
        (root / "set" / "a" / f"broken {number}.png").write_bytes(b"no image")
    with pytest.raises(
        UserError, match=r"data set mine: 3 of 11 images do not decode, .*1\.0%.*a/broken 0\.png"
    ) as caught:
        prepare("mine", folder_spec(), root, tmp_path / "cache")
    assert "max_undecodable" in str(caught.value)
    assert left_in(tmp_path / "cache") == []
    assert len(prepare("mine", folder_spec(max_undecodable=0.5), root, tmp_path / "cache").labels) == 8


def test_no_broken_image_is_left_out_where_none_is_allowed(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    (root / "set" / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"1 of 9 images do not decode, more than max_undecodable = 0\.0%"):
        prepare("set", folder_spec(max_undecodable=0.0), root, tmp_path / "cache")


def test_a_file_that_cannot_be_read_ends_the_preparation(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    """Or a network drive with a hiccup would give a data set without some of its images."""
    (root / "set" / "a" / "link.png").symlink_to(root / "gone.png")
    with pytest.raises(UserError, match=r"cannot read the data set mine: .*link\.png"):
        prepare("mine", folder_spec(), root, tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_only_broken_images_are_refused(tmp_path: Path, data_spec: Spec) -> None:
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_bytes(b"no image")
    spec = data_spec(reader="image_folder", path="set", max_undecodable=1.0)
    with pytest.raises(UserError, match="2 of 2 images do not decode"):
        prepare("set", spec, tmp_path, tmp_path / "cache")


def test_a_file_of_another_size_is_named(root: Path, folder_spec: Spec, tmp_path: Path, write_image: Write) -> None:
    write_image(root / "set" / "b" / "wide.png", 5, width=30, height=24)
    with pytest.raises(UserError, match=r"b/wide\.png is 30×24 pixels, others are 24×24: .*`size:`"):
        prepare("set", folder_spec(), root, tmp_path / "cache")
    assert left_in(tmp_path / "cache") == []


def test_images_that_are_not_square_want_a_size(tmp_path: Path, data_spec: Spec, write_image: Write) -> None:
    for number in range(2):
        write_image(tmp_path / "set" / "ab"[number] / "1.png", number, width=30, height=20)
    with pytest.raises(UserError, match="`size:`"):
        prepare("set", data_spec(reader="image_folder", path="set"), tmp_path, tmp_path / "cache")


def test_identical_bytes_are_listed_as_duplicates_of_the_first(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    for name in ("a/9.png", "b/9.png"):
        shutil.copy(root / "set" / "a" / "0.png", root / "set" / name)
    packed = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert len(packed.labels) == 10
    assert packed.problems == [
        {"image_id": "a/9.png", "what": "duplicate of a/0.png (identical bytes)"},
        {"image_id": "b/9.png", "what": "duplicate of a/0.png (identical bytes)"},
    ]


# Where it is packed


def test_a_disk_that_is_too_small_is_refused_before_it_is_filled(
    root: Path, folder_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Any) -> Any:
        asked.append(Path(path))
        return SimpleNamespace(total=1e9, used=1e9, free=8 * 24 * 24 * 3 - 1)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(UserError, match=r"the packed images need .*`size:`") as caught:
        prepare("set", folder_spec(), root, tmp_path / "cache")
    assert str(tmp_path / "cache") in str(caught.value)
    assert asked
    assert all(path.is_relative_to(tmp_path / "cache") for path in asked)
    assert left_in(tmp_path / "cache") == []


def test_a_disk_that_fills_up_under_way_is_a_message_and_nothing_is_left(
    root: Path, folder_spec: Spec, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))  # the system refuses to write more into a file
    try:
        with pytest.raises(UserError, match="cannot prepare the data set mine in .*cache") as caught:
            prepare("mine", folder_spec(), root, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--storage" in str(caught.value)
    assert left_in(tmp_path / "cache") == []
    assert len(prepare("mine", folder_spec(), root, tmp_path / "cache").labels) == 8


def test_a_cache_that_cannot_be_made_is_a_message(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="cannot prepare the data set mine in .*cache"):
        prepare("mine", folder_spec(), root, tmp_path / "cache")


def test_what_a_killed_preparation_left_does_not_disturb(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    first.folder.rename(first.folder.with_name(first.folder.name + ".partial"))
    again = prepare("set", folder_spec(), root, tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert left_in(tmp_path / "cache") == [again.folder]


def test_names_of_any_kind_lie_side_by_side(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    for name in ("cells v1.0", "cells v1.1", "zellen/ä"):
        packed = prepare(name, folder_spec(), root, tmp_path / "cache")
        assert packed.folder.parent == tmp_path / "cache"
        assert json.loads((packed.folder / "meta.json").read_text(encoding="utf-8"))["name"] == name
    assert len(left_in(tmp_path / "cache")) == 3


AT_ONCE = """
import sys, time
from pathlib import Path
from pydantic import TypeAdapter
from trainables.data.packing.prepare import prepare
from trainables.data.readers.data_spec import DataSpec
spec = TypeAdapter(DataSpec).validate_python(dict(reader="generated", generator="scenes", images_per_class=100, size=64))
print("ready", flush=True)
sys.stdin.readline()
told = []
packed = prepare("scenes", spec, Path(), Path(sys.argv[1]), lambda *now: told.append(now))
print(len(told), len(packed.labels), packed.fingerprint)
"""


@pytest.mark.slow
def test_processes_that_prepare_at_once_do_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_ONCE, str(tmp_path / "cache")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[4], **pipes) for _ in range(3)]
    assert all(process.stdout is not None and process.stdout.readline() == "ready\n" for process in processes)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [int(told) > 0 for told, _, _ in answers].count(True) == 1
    assert {(count, fingerprint) for _, count, fingerprint in answers} == {("200", answers[0][2])}
    assert len(left_in(tmp_path / "cache")) == 1


def test_nothing_prepared_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        load(tmp_path / "nowhere")


# Real data


def test_real_cells_name_their_duplicate(shared_data: Path, data_spec: Spec, tmp_path: Path) -> None:
    packed = prepare("cells", data_spec(reader="bone_marrow", groups="groups.csv", size=120), shared_data, tmp_path)
    folder = "BM_cytomorphology_data/LYT"
    what = f"duplicate of {folder}/LYT_00044.jpg (identical bytes)"
    assert packed.problems == [{"image_id": f"{folder}/LYT_00047.jpg", "what": what}]
    assert packed.classes == ("EOS", "LYT", "MON", "NGS")
    assert (len(packed.labels), packed.size) == (299, 120)


def test_real_pets_name_their_broken_files(shared_data: Path, data_spec: Spec, tmp_path: Path) -> None:
    packed = prepare("pets", data_spec(reader="cats_vs_dogs", size=64), shared_data, tmp_path)
    broken = [problem for problem in packed.problems if problem["what"].startswith("undecodable")]
    assert {problem["image_id"] for problem in broken} == {"PetImages/Cat/666.jpg", "PetImages/Dog/11702.jpg"}
    assert Counter(packed.labels.tolist()) == {0: 500, 1: 500}
