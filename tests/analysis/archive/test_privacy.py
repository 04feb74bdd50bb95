"""A bundle does not say where, on which machine and by whom it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from analysis.archive.privacy import without_paths
from analysis.bundle import main


@pytest.fixture
def private(own_trained: Any) -> Any:
    root: Path = own_trained.root
    for file in root.glob("stages/*/result.json"):
        result = json.loads(file.read_text())
        result["environment"] = {**result["environment"], "node": "hidden-host", "process": 987654}
        file.write_text(json.dumps({**result, "origin": {"study": "/home/hidden/studies/first", "uid": "u"}}))
    plan = json.loads((root / "plan.json").read_text())
    plan |= {"grid": "/home/hidden/grid.yaml", "places": {"data": "/home/hidden/data"}}
    (root / "plan.json").write_text(json.dumps(plan))
    grid = yaml.safe_load((root / "grid.yaml").read_text())
    grid["weights"] = {"own": {"path": "/home/hidden/my weights.pth"}}
    (root / "grid.yaml").write_text(yaml.safe_dump(grid))
    return SimpleNamespace(root=root)


def all_bytes(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_bundle_names_no_path_host_or_process(private: Any, tmp_path: Path) -> None:
    assert main([str(private.root), "--out", str(tmp_path / "b")]) == 0
    held = all_bytes(tmp_path / "b")
    for secret in (b"hidden-host", b"987654", b"/home/hidden", str(private.root).encode(), str(tmp_path).encode()):
        assert secret not in held, secret
    assert b"my weights.pth" in held
    assert main(["--verify", str(tmp_path / "b")]) == 0


def test_a_flag_keeps_them(private: Any, tmp_path: Path) -> None:
    assert main([str(private.root), "--out", str(tmp_path / "b"), "--keep-places", "--weights", "none"]) == 0
    held = all_bytes(tmp_path / "b")
    for kept in (b"hidden-host", b"987654", b"/home/hidden"):
        assert kept in held
    shutil.rmtree(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/a b/weights.pth", "weights.pth"),
        ("cannot read /home/me/x.png: damaged", "cannot read x.png: damaged"),
        ("a/b and 1/2, and/or", "a/b and 1/2, and/or"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("relative/path.csv", "relative/path.csv"),
    ],
)
def test_absolute_paths_alone_are_cut(text: str, left: str) -> None:
    assert without_paths({"a": [text]}) == {"a": [left]}
