"""Tests of ``python -m trainables.data prepare``: what it says, and that bad input is a message and never a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.data import __main__ as command
from trainables.data.packing.prepare import load

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, write_image: Write) -> Path:
    for number in range(6):
        write_image(tmp_path / "dätä" / "my cells" / "ab"[number % 2] / f"ü {number}.png", number)
    (tmp_path / "dätä" / "my cells" / "a" / "broken.png").write_bytes(b"")
    return tmp_path / "dätä"


def prepare(root: Path, spec: str, *more: str) -> int:
    return command.main(
        ["prepare", "cells", "--spec", spec, "--data", str(root), "--cache", str(root / "cache"), *more]
    )


def test_it_says_what_a_data_set_holds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = "{reader: image_folder, path: my cells, max_undecodable: 0.2}"
    assert prepare(root, spec, "--split", "{folds: 3}") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "data set cells: 6 images of 24×24 pixels, 2 classes, no groups given"
    assert [line.split() for line in lines[1:3]] == [["a", "3", "images"], ["b", "3", "images"]]
    assert lines[3:5] == [
        "problems: 1",
        "  undecodable: 1, the first: a/broken.png (undecodable: the file is empty)",
    ]
    (folder,) = re.fullmatch(r"0\.0 MB in (.*)", lines[6]).groups()
    assert lines[5] == f"fingerprint {load(Path(folder)).fingerprint}"
    assert lines[7] == (
        "divided: no groups are given: 0 of 6 images shared between train, val and test, 3 folds; every image tested once"
    )
    assert lines[8].startswith("  class a (3 images): 1 test and 1 val images per fold: ")
    assert err == ""


def test_what_is_damaged_is_named_and_prepared_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = "{reader: image_folder, path: my cells, max_undecodable: 0.2}"
    assert prepare(root, spec) == 0
    said = capsys.readouterr().out
    (shard,) = root.glob("cache/cells-*/shard-*.rgb")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5] + b"?" + whole[6:])
    assert prepare(root, spec) == 0
    out, err = capsys.readouterr()
    assert out == said
    found = re.fullmatch(r"was damaged, and is prepared again: (\S+) has the digest (\w+), expected (\w+)\n", err)
    assert found is not None
    assert (found[1], found[3]) == (shard.name, shard.stem.rpartition("-")[2])
    assert shard.read_bytes() == whole
    assert prepare(root, spec) == 0
    assert capsys.readouterr() == (said, "")


def test_groups_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "my cells" / "a" / "broken.png").unlink()
    rows = [f"{file.relative_to(root / 'my cells').as_posix()},p1" for file in (root / "my cells").rglob("*.png")]
    (root / "my cells" / "groups.csv").write_text("\n".join(["path,group", *rows]))
    assert prepare(root, "{reader: image_folder, path: my cells, groups: groups.csv}") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("2 classes, 1 groups")
    assert lines[1].split() == ["a", "3", "images", "in", "1", "groups"]
    assert lines[3] == "problems: none found"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{reader: image_foldr, path: x}", ["--spec: unknown reader image_foldr; did you mean image_folder?"]),
        ("{path: x}", ["--spec names no reader. Give reader: bone_marrow, cats_vs_dogs"]),
        (
            "{reader: image_folder, pth: x, size: 3}",
            ["--spec: unknown key pth; did you mean path?", "path: Field required", "size: Input should be greater"],
        ),
        ("{reader: image_folder", ["--spec is no YAML: while parsing a flow mapping"]),
        ("image_folder", ["--spec should be a mapping such as {reader: image_folder, path: cells}, found"]),
        ("{reader: image_folder, path: gone}", ["no folder ", "gone", "holds my cells"]),
        ("{reader: image_folder, path: my cells}", ["1 of 7 images do not decode", "a/broken.png (undecodable: "]),
    ],
)
def test_bad_input_is_a_message(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, spec: str, words: list[str]
) -> None:
    if "my cells" in spec:
        spec = spec.replace("}", ", max_undecodable: 0}")
    assert prepare(root, spec) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert not [word for word in words if word not in err], err


def test_a_split_that_cannot_be_is_a_message_after_describe_folder(root: Path, capsys: Any) -> None:
    spec = "{reader: image_folder, path: my cells, max_undecodable: 0.2}"
    assert prepare(root, spec, "--split", "{fold: 5}") == 2
    assert capsys.readouterr().err == "error: --split: unknown key fold; did you mean folds?\n"
    assert prepare(root, spec, "--split", "{folds: 5}") == 2
    out, err = capsys.readouterr()
    assert out.startswith("data set cells: 6 images")
    assert "fewer images than the 5 folds in class a (3), b (3)" in err


def test_an_interrupted_command_says_how_to_go_on(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "prepare", interrupted)
    assert prepare(root, "{reader: image_folder, path: my cells}") == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_the_command_runs_as_a_module_without_torch(root: Path) -> None:
    code = (
        "import sys; from trainables.data.__main__ import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    spec = "{reader: image_folder, path: my cells}"
    arguments = ["prepare", "x", "--spec", spec, "--data", str(root), "--cache", str(root / "cache")]
    for start in (["-c", code], ["-m", "trainables.data"]):
        done = subprocess.run(
            [sys.executable, *start, *arguments],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
