"""Tests of files on a path or a URI."""

from __future__ import annotations

import errno
import hashlib
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from trainables.errors import UserError
from trainables.store.storage import Storage

PLACES = ["plain", "with spaces, ünïcode × 100%#?"]


@pytest.fixture(params=[f"{kind}: {place}" for kind in ("path", "uri") for place in PLACES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """The same folder, as a path and as a URI."""
    kind, place = request.param.split(": ")
    folder = tmp_path / place
    return Storage(folder) if kind == "path" else Storage(f"file://{quote(str(folder))}")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within, the system refuses to write more than so many bytes into a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read(store: Storage) -> None:
    digest = store.write("a/b/c d ü.bin", b"\0\1content")
    assert digest == hashlib.sha256(b"\0\1content").hexdigest()
    assert store.read("a/b/c d ü.bin") == b"\0\1content"
    assert Path(store.path("a/b/c d ü.bin")).read_bytes() == b"\0\1content"


def test_a_write_replaces(store: Storage) -> None:
    store.write("file", b"a long first content")
    store.write("file", b"second")
    assert store.read("file") == b"second"


def test_json_comes_back_and_is_readable(store: Storage) -> None:
    value = {"ü": [1, 0.1, None, True, "×"], "a": {}}
    digest = store.write_json("deep/value.json", value)
    assert store.read_json("deep/value.json") == value
    assert "×" in store.read("deep/value.json").decode()
    assert digest == hashlib.sha256(store.read("deep/value.json")).hexdigest()


@pytest.mark.parametrize("content", [None, b"", b'{"a": 1', b"[1, 2]", b"\xff"])
def test_what_is_no_json_object_is_none_where_that_is_allowed(store: Storage, content: bytes | None) -> None:
    store.write("whole.json", b'{"a": 1}')
    assert store.read_json_or_none("whole.json") == {"a": 1}
    if content is not None:
        store.write("other.json", content)
    assert store.read_json_or_none("other.json") is None


def test_a_table_comes_back_with_its_types(store: Storage) -> None:
    logits = pa.FixedSizeListArray.from_arrays(pa.array([0.5, 1, 2, 3], pa.float32()), 2)
    table = pa.table({"image_id": ["ä", None], "logits": logits, "label": pa.array([1, 2], pa.int64())})
    digest = store.write_table("t.parquet", table)
    assert store.read_table("t.parquet").equals(table)
    assert digest == hashlib.sha256(store.read("t.parquet")).hexdigest()


def test_nothing_is_there_before_the_first_write(store: Storage) -> None:
    assert not store.exists("")
    assert store.names() == store.names("stages") == []
    assert store.files() == set()
    store.remove("nothing")
    for read in (store.read, store.read_json, store.read_table):
        with pytest.raises(FileNotFoundError):
            read("missing.json")
    assert not store.exists("")


def test_names_are_of_one_folder_and_files_of_all(store: Storage) -> None:
    for name in ("b/2", "b/1", "b/deep/3", "a", "ü x/4"):
        store.write(name, b"")
    assert store.names() == ["a", "b", "ü x"]
    assert store.names("b") == ["1", "2", "deep"]
    assert store.files() == {"a", "b/1", "b/2", "b/deep/3", "ü x/4"}


def test_a_child_is_the_folder_below(store: Storage) -> None:
    child = store.child("of mine ü").child("deeper")
    child.write("x/file", b"1")
    assert store.read("of mine ü/deeper/x/file") == b"1"
    assert child.files() == {"x/file"}
    assert child.path("x") == store.path("of mine ü/deeper/x")
    assert child.is_local == store.is_local


def test_remove_takes_one_file_away(store: Storage) -> None:
    store.write("a", b"1")
    store.write("b", b"2")
    store.remove("a")
    assert store.names() == ["b"]


def test_a_value_that_is_no_json_leaves_the_old_file(store: Storage) -> None:
    store.write_json("metrics.json", {"f1": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json("metrics.json", {"f1": math.nan})
    with pytest.raises(TypeError):
        store.write_json("metrics.json", {"f1": object()})
    assert store.read_json("metrics.json") == {"f1": 0.5}
    assert store.names() == ["metrics.json"]


def test_a_failing_write_leaves_the_old_file_and_nothing_half_written(store: Storage) -> None:
    store.write("weights", b"old")
    with largest_file(100_000), pytest.raises(OSError, match=r".") as caught:
        store.write("weights", bytes(1_000_000))
    assert caught.value.errno == errno.EFBIG
    with largest_file(100_000), pytest.raises(OSError, match=r"."):
        store.write("new", bytes(1_000_000))
    assert store.files() == {"weights"}
    assert store.read("weights") == b"old"


def test_a_file_where_a_folder_should_be_is_an_error(store: Storage) -> None:
    store.write("stages", b"")
    with pytest.raises(OSError, match="stages"):
        store.write("stages/one/result.json", b"")


WRITER = """
import sys
from trainables.store.storage import Storage
store = Storage(sys.argv[1])
while True:
    for letter in (b"a", b"b"):
        store.write("file", letter * 3_000_000)
"""


def test_a_reader_never_sees_half_a_file_even_when_the_writer_is_killed(tmp_path: Path) -> None:
    store = Storage(tmp_path / "store")
    root = Path(__file__).parents[3]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, store.location], cwd=root)
    seen: set[bytes] = set()
    try:
        deadline = time.monotonic() + 60
        while len(seen) < 2 and time.monotonic() < deadline:
            if store.exists("file"):
                seen.add(_whole(store.read("file")))
    finally:
        writer.kill()
        writer.wait()
    assert seen == {b"a", b"b"}
    assert _whole(store.read("file")) in seen


def _whole(content: bytes) -> bytes:
    assert content == content[:1] * 3_000_000
    return content[:1]


def test_a_relative_path_and_the_home_folder_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Storage("studies").location == str(tmp_path / "studies")
    assert Storage("~/studies").location == str(tmp_path / "home" / "studies")


@pytest.mark.parametrize("location", ["gopher://host/folder", "s3://", "s3:///", "file://relative/x y"])
def test_a_location_of_no_known_kind_is_refused_by_name(location: str) -> None:
    with pytest.raises(UserError, match=location):
        Storage(location)


def test_a_child_of_an_object_store_keeps_its_options() -> None:
    """Other places than Amazon's are named in the options, which end the URI. Nothing is contacted here."""
    store = Storage("s3://bucket/studies?endpoint_override=127.0.0.1:9&scheme=http&region=mine")
    child = store.child("smoke")
    assert not child.is_local
    assert child._full("study.json") == "bucket/studies/smoke/study.json"
    assert child._fs.equals(store._fs)
    assert child.location == "s3://bucket/studies/smoke?endpoint_override=127.0.0.1:9&scheme=http&region=mine"
    assert Storage(child.location)._full("x") == child._full("x"), "a trial opens it by its location"


def test_a_blank_in_a_location_is_escaped() -> None:
    assert Storage("s3://bucket/of é?region=mine")._full("x") == "bucket/of é/x"
