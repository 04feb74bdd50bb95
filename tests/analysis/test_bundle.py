"""A bundle holds what it says, can be checked, and is a study that gives the same tables."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from analysis.bundle import main
from analysis.page.build import build
from analysis.results.collect import collect
from trainables.store.study import Study


def packed(study: Any, out: Path, *more: str) -> Path:
    assert main([str(study.root), "--out", str(out), *more]) == 0
    return out


def test_unpacked_it_gives_the_same_tables(own_trained: Any, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_trained.root.rglob("*")}
    bundle = packed(own_trained, tmp_path / "b.zip")
    after = {path: path.stat().st_mtime_ns for path in own_trained.root.rglob("*")}
    assert after == before, "it may be an archive that nobody may write to"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "unpacked")
    tables = {file.name: file.read_bytes() for file in (tmp_path / "unpacked/report/tables").iterdir()}
    shutil.rmtree(tmp_path / "unpacked" / "report")
    report = build(Study.open(str(tmp_path / "unpacked")))
    assert not report.left_out
    again = {file.name: file.read_bytes() for file in (tmp_path / "unpacked/report/tables").iterdir()}
    assert again == tables
    assert len(tables) == 3 * len(report.content.tables)


def test_zip_and_folder_hold_the_same_and_both_verify(own_trained: Any, tmp_path: Path) -> None:
    bundle, folder = packed(own_trained, tmp_path / "b.zip"), packed(own_trained, tmp_path / "b")
    with zipfile.ZipFile(bundle) as archive:
        assert archive.read("MANIFEST.json") == (folder / "MANIFEST.json").read_bytes()
    again = packed(own_trained, tmp_path / "again.zip")
    assert again.read_bytes() == bundle.read_bytes()
    assert main(["--verify", str(bundle)]) == main(["--verify", str(folder)]) == 0
    names = set(json.loads((folder / "MANIFEST.json").read_text())["files"])
    assert {"README.md", "environment.json", "grid.yaml", "plan.json", "study.json", "report/index.html"} <= names
    assert sum(name.endswith("stage.json") for name in names) == 7
    assert sum(name.startswith("splits/") for name in names) == 2


@pytest.mark.parametrize(("weights", "count"), [("chosen", 6), ("best", 3), ("none", 0)])
def test_whose_weights_go_along(own_trained: Any, tmp_path: Path, weights: str, count: int) -> None:
    bundle = packed(own_trained, tmp_path / "b", "--weights", weights)
    found = list(bundle.glob("stages/*/weights.safetensors"))
    assert len(found) == count
    if weights == "best":
        collected = collect(own_trained.study)
        means: dict[str, list[float]] = {}
        for cell in collected.chosen:
            means.setdefault(cell.planned.scenario, []).append(cell.candidate.val_f1_macro)
        best = max(means, key=lambda scenario: sum(means[scenario]))
        assert all(f"-tiny-{best}-" in path.parent.name for path in found)


def test_verify_names_what_was_changed(own_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = packed(own_trained, tmp_path / "b", "--weights", "none")
    (bundle / "report/tables/scores.csv").write_text("better")
    (bundle / "grid.yaml").unlink()
    (bundle / "extra.txt").touch()
    assert main(["--verify", str(bundle)]) == 1
    said = capsys.readouterr().err
    for fault in ("changed: report/tables/scores.csv", "missing: grid.yaml", "not in the manifest: extra.txt"):
        assert fault in said


def test_nothing_changed_is_packed(own_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = (folder for folder in own_trained.study.folders() if "-tiny-Random-fold0-" in folder.name)
    folder.files.write("weights.safetensors", b"other weights")
    assert main([str(own_trained.root), "--out", str(tmp_path / "b.zip")]) == 2
    assert "is not what the stage wrote" in capsys.readouterr().err
    assert not list(tmp_path.glob("*b.zip*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["STUDY"], "--verify BUNDLE"),
        (["--verify", "nowhere.zip"], "no bundle at"),
        (["STUDY", "--out", "STUDY"], "is there already"),
    ],
)
def test_mistakes_are_named(
    finished: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(finished.root) if word == "STUDY" else word for word in arguments]) == 2
    assert message in capsys.readouterr().err
