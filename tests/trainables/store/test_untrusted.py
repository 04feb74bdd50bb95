"""What a study may hold: plain names, regular files, no links, bounded sizes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from trainables.errors import UnsafeFileError
from trainables.store import arrow
from trainables.store.arrow import parquet_bytes, read_parquet
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study
from trainables.store.untrusted import load_json, load_yaml, plain_name


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "study" / "splits").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return Study(Storage(tmp_path / "study"))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "C:x", "a\0", "a\nb", "\x1b[31m", "x" * 256, "é" * 128]
)
def test_names_that_are_not_plain(name: str) -> None:
    with pytest.raises(ValueError, match="is no plain name of a file"):
        plain_name(name)


@pytest.mark.parametrize(
    "use",
    [
        lambda storage, name: storage.read(name),
        lambda storage, name: storage.write(name, b""),
        lambda storage, name: storage.remove(name),
        lambda storage, name: storage.exists(name),
        lambda storage, name: storage.names(name),
        lambda storage, name: storage.child(name),
    ],
)
@pytest.mark.parametrize(
    "name", ["../outside/secret", "splits/../../outside/secret", "/etc/passwd", "a\0b", "link/secret"]
)
def test_no_way_leads_out(study: Study, tmp_path: Path, use: Callable[[Storage, str], object], name: str) -> None:
    (tmp_path / "study" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafeFileError):
        use(study.storage, name)
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"


def test_links_and_fifos_are_not_opened(study: Study, tmp_path: Path) -> None:
    (tmp_path / "study" / "link").symlink_to(tmp_path / "outside" / "secret")
    os.mkfifo(tmp_path / "study" / "fifo")
    for name, kind in (("link", "a symbolic link"), ("fifo", "a FIFO"), ("splits", "a folder")):
        with pytest.raises(UnsafeFileError, match=kind):
            study.storage.read(name)


def test_a_study_may_itself_lie_behind_a_link(study: Study, tmp_path: Path) -> None:
    study.storage.write("a", b"a")
    (tmp_path / "link").symlink_to(tmp_path / "study")
    assert Study(Storage(tmp_path / "link")).storage.read("a") == b"a"


@pytest.mark.parametrize("name", ["../../outside/secret", "result.json", "stage.json", "failure.json"])
def test_digests_name_plain_files_that_are_no_records(study: Study, name: str) -> None:
    with pytest.raises(ValueError, match=r"no plain name|no file that a stage makes"):
        StageFolder(study.storage, "finetune-a-0").read_verified(name, {"digests": {name: "0" * 64}})


def test_a_file_above_the_bound_is_not_read(study: Study) -> None:
    study.storage.write("a", bytes(11))
    with pytest.raises(UnsafeFileError, match="larger than"):
        study.storage.read("a", 10)


def test_a_table_that_unpacks_to_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "MOST_TABLE", 1 << 20)
    content = parquet_bytes(pa.table({"a": pa.array(["x" * 10_000] * 2000)}))
    assert len(content) < 1 << 20
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_parquet(content)


@pytest.mark.parametrize("content", [b"[" * 10**6, b"[1e", b"\xff", b'"\\ud800"', b"1" * 5000, b""])
def test_json_that_is_none(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are of Python
        load_json(content)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 10**5,
        b"!!python/object:os.system {}",
        b"a: &a [1]\nb: *a",
        b"? [a]\n: 1\n? {b: 1}\n: 2",
        b"\xff",
        b"!!int x",
        b"&a [*a]",
    ],
)
def test_yaml_that_is_none(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its words are of YAML
        load_yaml(content)
