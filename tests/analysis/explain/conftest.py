"""A small study of generated cells, trained by the real code in this process, and a network of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from analysis.explain.methods.explained_model import ExplainedModel, load_trained
from sweep.run import main as sweep
from trainables.store.stage_lookup import find_begun
from trainables.store.study import Study

GRID = """
target: cells
data:
  cells: {reader: generated, generator: blood_cells, images_per_class: 12, size: 64}
split: {folds: 3, val_fraction: 0.25}
architectures:
  cnn: {model: timm/test_resnet}
  vit: {model: timm/test_vit}
scenarios:
  Random: {}
axes: {architecture: [cnn, vit], scenario: all, fold: [0], learning_rate: [0.03]}
recipe: {image_size: 96, batch_size: 16}
finetune: {epochs: 2}
"""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run beside others."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study. Not to be changed: see ``folder``."""
    root = tmp_path_factory.mktemp("explained")
    grid = root / "cells.yaml"
    grid.write_text(GRID)
    for name in ("cnn", "vit"):
        command = ["--grid", str(grid), "--storage", str(root / "studies"), "--cell"]
        assert sweep([*command, _cell_of(name)]) == 0
    return root / "studies" / "cells"


def _cell_of(name: str) -> str:
    return f"{name}-Random-fold0-lr0.03-seed0"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the study with its prepared data beside it, to be changed."""
    shutil.copytree(made.parent / ".cache", tmp_path / "studies" / ".cache")
    return Path(shutil.copytree(made, tmp_path / "studies" / "cells"))


@pytest.fixture
def study(folder: Path) -> Study:
    return Study.open(str(folder))


@pytest.fixture(scope="session")
def cnn(made: Path) -> ExplainedModel:
    """The trained CNN of the study: to be left as it is."""
    return load_trained(find_begun(Study.open(str(made)), _cell_of("cnn")))


@pytest.fixture(scope="session")
def vit(made: Path) -> ExplainedModel:
    """The trained ViT of the study: to be left as it is."""
    return load_trained(find_begun(Study.open(str(made)), _cell_of("vit")))


@pytest.fixture(scope="session")
def made_by_hand(finished: Any) -> Study:
    """A larger finished study, of numbers alone. Not to be changed."""
    study: Study = finished.study
    return study
