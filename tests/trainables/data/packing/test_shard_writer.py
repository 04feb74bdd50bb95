"""A preparation that was killed keeps its whole shards, and ends with the same bytes. A full disk leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from trainables.data.packing import decode, shards
from trainables.data.packing.prepare import Packed, prepare
from trainables.data.readers import file_access, image_files
from trainables.errors import UserError

Spec = Callable[..., Any]
COUNT = 22


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of 4 images, and progress told after each image."""
    monkeypatch.setattr(shards, "MOST_ROWS", 4)
    monkeypatch.setattr(decode, "AT_A_TIME", 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 11 images in a folder whose name is not plain; one image is broken."""
    for number in range(COUNT):
        file = tmp_path / "my dätä" / "set" / "ab"[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    (tmp_path / "my dätä" / "set" / "a" / "04.png").write_bytes(b"no image")
    return tmp_path / "my dätä"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the images that were decoded, in the order they were done."""
    seen: list[str] = []
    one = decode._one

    def counted(listing: Any, number: int, *more: Any) -> Any:
        seen.append(listing.items[number].image_id)
        return one(listing, number, *more)

    monkeypatch.setattr(decode, "_one", counted)
    return seen


def interrupted_after(images: int) -> Callable[..., None]:
    def progress(_: str, done: int, __: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    return progress


def content(prepared: Packed) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(prepared.folder.iterdir())}


def partial(cache: Path) -> Path:
    (found,) = cache.glob("*.partial")
    return found


@pytest.mark.parametrize("images", [0, 1, 4, 5, 6, 13, 21, COUNT])
@pytest.mark.parametrize("size", [None, 16])
@pytest.mark.usefixtures("small_shards")
def test_an_interrupted_preparation_is_gone_on_with(
    root: Path, data_spec: Spec, tmp_path: Path, decoded: list[str], images: int, size: int | None
) -> None:
    spec = data_spec(reader="image_folder", path="set", size=size, max_undecodable=0.1)
    whole = prepare("set", spec, root, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare("set", spec, root, tmp_path / "cache", interrupted_after(images))
    kept = COUNT if images == COUNT else images // 4 * 4  # whole shards
    decoded.clear()
    told: list[int] = []
    again = prepare("set", spec, root, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert content(again) == content(whole)
    assert again.problems == whole.problems
    assert len(decoded) == COUNT - told[0]
    assert told[0] == kept
    names = [name.partition("-0000")[0] for name in sorted(content(again))]
    assert names == ["index.parquet", "meta.json", "problems.parquet", *["shard"] * 6]


def shard(folder: Path, number: int) -> Path:
    (found,) = folder.glob(f"shard-{number:05}-*.rgb")
    return found


def overwrite(file: Path, place: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(place, os.SEEK_END if place < 0 else os.SEEK_SET)
        before = stream.read(4)
        stream.seek(-4, os.SEEK_CUR)
        stream.write(bytes(byte ^ 1 for byte in before))


def remove_all(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


DAMAGES = {
    "a torn shard": lambda folder: os.truncate(shard(folder, 3), shard(folder, 3).stat().st_size - 9),
    "an empty shard": lambda folder: os.truncate(shard(folder, 3), 0),
    "a pixel": lambda folder: overwrite(shard(folder, 3), 2000),
    "an early pixel": lambda folder: overwrite(shard(folder, 0), 0),
    "a record": lambda folder: overwrite(shard(folder, 3), -60),
    "the length of a record": lambda folder: overwrite(shard(folder, 3), -4),
    "a tail": lambda folder: shard(folder, 3).open("ab").write(b"torn" * 999),
    "a shard under the number of another": lambda folder: shard(folder, 3).rename(
        folder / shard(folder, 3).name.replace("shard-00003", "shard-00005")
    ),
    "no shards": remove_all,
    "half a shard": lambda folder: (folder / "00004.partial").write_bytes(b"torn"),
    "a shard too many": lambda folder: shutil.copy(
        shard(folder, 3), folder / shard(folder, 3).name.replace("shard-00003", "shard-00099")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.usefixtures("small_shards")
def test_what_is_torn_is_never_used(root: Path, data_spec: Spec, tmp_path: Path, damage: str) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)
    whole = prepare("set", spec, root, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare("set", spec, root, tmp_path / "cache", interrupted_after(17))
    DAMAGES[damage](partial(tmp_path / "cache"))
    told: list[int] = []
    again = prepare("set", spec, root, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert content(again) == content(whole)
    assert told[0] == {"no shards": 0, "half a shard": 16, "a shard too many": 16}.get(damage, 12)


@pytest.mark.usefixtures("small_shards")
def test_shards_of_other_decoders_or_another_set_are_decoded_again(
    root: Path, data_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)
    whole = prepare("set", spec, root, tmp_path / "whole")
    with monkeypatch.context() as older:
        older.setattr("PIL.__version__", "1.0")
        with pytest.raises(KeyboardInterrupt):
            prepare("set", spec, root, tmp_path / "cache", interrupted_after(17))
    shutil.copytree(root / "set", root / "other")
    other = data_spec(reader="image_folder", path="other", max_undecodable=0.1)
    for file in prepare("other", other, root, tmp_path / "whole").folder.glob("shard-00001-*"):
        shutil.copy(file, partial(tmp_path / "cache"))
    told: list[int] = []
    again = prepare("set", spec, root, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert told[0] == 0
    assert content(again) == content(whole)


@pytest.mark.usefixtures("small_shards")
def test_interrupted_again_and_again(root: Path, data_spec: Spec, tmp_path: Path) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)
    for images in range(1, COUNT, 2):
        with pytest.raises(KeyboardInterrupt):
            prepare("set", spec, root, tmp_path / "cache", interrupted_after(images))
    again = prepare("set", spec, root, tmp_path / "cache")
    assert content(again) == content(prepare("set", spec, root, tmp_path / "whole"))


@pytest.mark.usefixtures("small_shards")
def test_a_changed_data_set_begins_anew_and_the_old_beginning_goes(root: Path, data_spec: Spec, tmp_path: Path) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)
    with pytest.raises(KeyboardInterrupt):
        prepare("set", spec, root, tmp_path / "cache", interrupted_after(17))
    old = partial(tmp_path / "cache")
    os.utime(root / "set" / "a" / "00.png", ns=(1, 1))
    told: list[int] = []
    prepare("set", spec, root, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert told[0] == 0
    assert not old.exists()


@pytest.mark.usefixtures("small_shards")
def test_a_source_that_goes_away_is_a_message_and_what_is_decoded_is_kept(
    root: Path, data_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)

    def broken(file: Path) -> bytes:
        if file.name == "19.png":
            raise OSError(5, "Input/output error", str(file))
        return file.read_bytes()

    monkeypatch.setattr(image_files, "read_file", broken)
    with pytest.raises(UserError, match=r"cannot read b/19\.png: .*Input/output error.* run it again to go on"):
        prepare("set", spec, root, tmp_path / "cache")
    monkeypatch.setattr(image_files, "read_file", file_access.read_file)
    told: list[int] = []
    again = prepare("set", spec, root, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert told[0] >= 17
    assert len(again.labels) == COUNT - 1


KILLED = """
import os, signal, sys, time
from pathlib import Path
from pydantic import TypeAdapter
from trainables.data.packing.prepare import prepare
from trainables.data.readers.data_spec import DataSpec
spec = TypeAdapter(DataSpec).validate_python(dict(reader="pcam"))
def progress(name, done, total):
    if done >= int(sys.argv[3]):
        while len(list(Path(sys.argv[2]).glob("*.partial/shard-*"))) < done // 512:  # one is being written
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
prepare("pcam", spec, Path(sys.argv[1]), Path(sys.argv[2]), progress)
"""


def test_killed_in_the_middle_it_goes_on(tmp_path: Path, data_spec: Spec) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1300, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "pcam").mkdir()
    for part, rows in {"train": slice(0, 1200), "valid": slice(1200, 1250), "test": slice(1250, None)}.items():
        for axis, value in {"x": pixels[rows], "y": np.arange(len(pixels[rows])) % 2}.items():
            with h5py.File(tmp_path / "pcam" / f"camelyonpatch_level_2_split_{part}_{axis}.h5", "w") as stream:
                stream[axis] = value
    for images in (700, 1290):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(tmp_path / "cache"), str(images)]
        assert subprocess.run(command, cwd=Path(__file__).parents[4], timeout=60).returncode == -signal.SIGKILL
    told: list[int] = []
    spec = data_spec(reader="pcam")
    again = prepare("pcam", spec, tmp_path, tmp_path / "cache", lambda _, done, __: told.append(done))
    assert told[0] == 1024
    assert np.array_equal(again.gather(np.arange(1300)), pixels)
    assert content(again) == content(prepare("pcam", spec, tmp_path, tmp_path / "whole"))


@pytest.mark.usefixtures("small_shards")
def test_a_disk_that_says_only_once_that_it_failed_is_heard(
    root: Path, data_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = data_spec(reader="image_folder", path="set", max_undecodable=0.1)
    fsync, asked = os.fsync, []

    def first_fails(number: int) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise OSError(5, "Input/output error")
        fsync(number)

    monkeypatch.setattr(os, "fsync", first_fails)
    with pytest.raises(UserError, match="cannot prepare the data set set in .*Input/output error"):
        prepare("set", spec, root, tmp_path / "cache")
    assert asked
    assert [file for file in (tmp_path / "cache").iterdir() if file.suffix != ".lock"] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    place = tmp_path / "small disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_real_disk_that_is_too_small_is_refused_before_anything_is_decoded(
    root: Path, data_spec: Spec, small_disk: Path, decoded: list[str]
) -> None:
    spec = data_spec(reader="image_folder", path="set", size=200, max_undecodable=0.1)
    with pytest.raises(UserError, match=r"has 2 MB free, the packed images need 3 MB: give --storage another place"):
        prepare("mine", spec, root, small_disk / "cache")
    assert decoded == []
    assert [file for file in (small_disk / "cache").iterdir() if file.suffix != ".lock"] == []


@pytest.mark.usefixtures("small_shards")
def test_a_real_disk_that_fills_up_under_way_leaves_nothing_half_written(
    root: Path, data_spec: Spec, small_disk: Path
) -> None:
    spec = data_spec(reader="image_folder", path="set", size=120, max_undecodable=0.1)

    other = "somebody else's"

    def fill(_: str, done: int, __: int) -> None:
        if done == 9:
            subprocess.run(["dd", "if=/dev/zero", f"of={small_disk / other}", "bs=4096"], capture_output=True)

    with pytest.raises(UserError, match=r"cannot prepare the data set mine in .*small disk/cache: .*No space left"):
        prepare("mine", spec, root, small_disk / "cache", fill)
    assert [file for file in (small_disk / "cache").iterdir() if file.suffix != ".lock"] == []
    (small_disk / other).unlink()
    assert len(prepare("mine", spec, root, small_disk / "cache").labels) == COUNT - 1
