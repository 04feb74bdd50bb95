"""A study's own files choose neither code nor files: every command that loads a network of a study refuses, by name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import export, gradcam, predict
from analysis.inference.trained_model import find_trained
from trainables.specs import ModelSpec

TRICK = """
from pathlib import Path

Path({mark!r}).touch()


def load(num_classes, **options):
    import timm

    return timm.create_model("test_resnet", num_classes=num_classes)
"""


@pytest.fixture
def stranger(own_trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A study whose network can be replaced, with key and digests that fit; and a module that leaves a mark when it runs."""
    (tmp_path / "trick_module.py").write_text(TRICK.format(mark=str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(tmp_path)

    def choose(model: str, options: dict[str, Any]) -> str:
        found = find_trained(own_trained.study, "tiny-Random-fold0")
        spec = ModelSpec(model=model, options=options)
        stage = found.stage.model_copy(update={"model": spec, "name": "stranger"})
        folder = own_trained.study.folder(stage)
        shutil.copytree(found.folder.path(), folder.path())
        folder.begin(stage)
        folder.commit({**found.result, "key": stage.key})
        return str(stage.key)

    return choose


def commands(trained: Any, key: str, out: Path) -> list[tuple[Any, list[str]]]:
    study, images = str(trained.root), str(trained.images)
    return [
        (export.main, [study, "--stage", key, "--out", str(out / "model")]),
        (predict.main, [study, "--images", images, "--stage", key, "--out", str(out / "table.csv")]),
        (gradcam.main, [study, "--stage", key, "--images", images, "--out", str(out / "maps")]),
    ]


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        ("trick_module:load", {}, "'trick_module:load'"),
        ("torch.hub:load", {"repo_or_dir": "folder", "source": "local", "model": "load"}, "'torch.hub:load'"),
        ("timm/local-dir:/tmp/x", {}, "'timm/local-dir:/tmp/x'"),
        ("timm/test_resnet", {"checkpoint_path": "/etc/passwd"}, "'checkpoint_path'"),
        ("timm/test_resnet", {"pretrained_cfg_overlay": {"mean": [0, 0, 0]}}, "'pretrained_cfg_overlay'"),
    ],
)
def test_what_a_study_names_is_not_run(
    own_trained: Any,
    stranger: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: dict[str, Any],
    named: str,
) -> None:
    key = stranger(model, options)
    for main, arguments in commands(own_trained, key, tmp_path):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert named in said
        assert "--allow-code" in said
    assert not (tmp_path / "ran").exists()
    assert not any((tmp_path / name).exists() for name in ("model", "maps", "table.csv"))


def test_allow_code_is_permission(own_trained: Any, stranger: Any, tmp_path: Path) -> None:
    key = stranger("trick_module:load", {})
    predicting = commands(own_trained, key, tmp_path)[1]
    assert predicting[0]([*predicting[1], "--allow-code"]) == 0
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"reader": "image_folder", "path": "../../elsewhere"}, "leads out of the folder of the data sets"),
        ({"reader": "image_folder", "path": "/etc"}, "leads out of the folder of the data sets"),
        ({"reader": "somebody_elses", "path": "cells"}, "is not the project's own"),
    ],
)
def test_a_study_chooses_no_reader_and_no_folder_outside_of_the_data(
    own_trained: Any, capsys: pytest.CaptureFixture[str], declared: dict[str, Any], named: str
) -> None:
    file = own_trained.root / "grid.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "data": {"cells": declared}}))
    arguments: Sequence[str] = [str(own_trained.root), "--data", str(own_trained.images.parent)]
    assert gradcam.main(arguments) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "--allow-code" in said
