"""Tests of preparing a data set: what identifies it, what is refused, where it lies."""

from __future__ import annotations

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

import numpy as np
import pytest
from PIL import Image

from tests.trainables.support.prepared_sets import all_images, ids, left_in
from trainables.data.packing.prepare import load, prepare
from trainables.errors import UserError

Spec = Callable[..., Any]
Write = Callable[..., Path]


# Identity


def test_a_second_preparation_reads_the_cache(root: Path, folder_spec: Spec, tmp_path: Path) -> None:
    first = prepare("set", folder_spec(), root, tmp_path / "cache")
    before = [file.stat().st_mtime_ns for file in sorted(first.folder.iterdir())]
    told: list[Any] = []
    again = prepare("set", folder_spec(), root, tmp_path / "cache", lambda *now: told.append(now))
    assert again == first == load(first.folder)
    assert [file.stat().st_mtime_ns for file in sorted(first.folder.iterdir())] == before
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
    assert len(other.shards) == len(first.shards) == 1


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
