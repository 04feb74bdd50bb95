"""A bundle of a stranger: names, links, sizes and damage are faults of it or bad input, never a traceback or a file outside."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from analysis.archive import opened
from analysis.bundle import main


def manifest(files: Mapping[str, bytes]) -> str:
    return json.dumps(
        {
            "files": {
                name: {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)} for name, body in files.items()
            }
        }
    )


def zipped(place: Path, files: Mapping[str, bytes]) -> Path:
    bundle = place / "b.zip"
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        archive.writestr("MANIFEST.json", manifest(files))
    return bundle


def test_a_good_one_passes(tmp_path: Path) -> None:
    assert main(["--verify", str(zipped(tmp_path, {"a.txt": b"a", "splits/b.parquet": b""}))]) == 0


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//x", "./x", "..\\x", "C:x", "a/./x"])
def test_names_that_lead_out(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--verify", str(zipped(tmp_path, {name: b"x"}))]) == 1
    assert "leads out of the bundle" in capsys.readouterr().err


def test_a_name_that_is_there_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = zipped(tmp_path, {"a": b"x"})
    with warnings.catch_warnings(), zipfile.ZipFile(bundle, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a", b"x")
    assert main(["--verify", str(bundle)]) == 1
    assert "2 times" in capsys.readouterr().err


def test_a_link_in_a_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "b.zip"
    entry = zipfile.ZipInfo("a")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr(entry, b"/etc/passwd")
        archive.writestr("MANIFEST.json", manifest({"a": b"/etc/passwd"}))
    assert main(["--verify", str(bundle)]) == 1
    assert "is a link: 'a'" in capsys.readouterr().err


def test_a_zip_that_unpacks_to_more_than_the_bound_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "MOST_UNPACKED", 1 << 20)
    bundle = tmp_path / "b.zip"
    archive = zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("MANIFEST.json", "w") as stream:
        for _ in range(50):
            stream.write(bytes(1 << 20))
    assert main(["--verify", str(bundle)]) == 2
    assert "unpacks to 52 MB. At most 1 MB are read" in capsys.readouterr().err


def test_a_file_larger_than_the_manifest_says_is_not_read_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(5 << 20))
        archive.writestr("MANIFEST.json", manifest({"a": b""}))
    assert main(["--verify", str(tmp_path / "b.zip")]) == 1
    assert "changed: a (larger than its manifest says)" in capsys.readouterr().err


def test_links_and_fifos_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "fifo")
    (folder / "MANIFEST.json").write_text(manifest({"link": b"s", "fifo": b"", "../secret": b"s"}))
    assert main(["--verify", str(folder)]) == 1
    said = capsys.readouterr().err
    for fault in ("link is a symbolic link", "fifo is a FIFO", "missing: ../secret"):
        assert fault in said


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"files": 3}',
        '{"files": {"a": {}}}',
        '{"files": {"a": {"sha256": "x", "bytes": -1}}}',
        "[" * 100_000,
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("MANIFEST.json", content)
    assert main(["--verify", str(tmp_path / "b.zip")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_encrypted_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(zipped(tmp_path, {}).read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flag] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    assert main(["--verify", str(tmp_path / "b.zip")]) == 2
    assert "encrypted" in capsys.readouterr().err


def test_a_fifo_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "b.zip")
    assert main(["--verify", str(tmp_path / "b.zip")]) == 2
    assert "is a FIFO" in capsys.readouterr().err
