"""Folders with a grid: alone, with a data set of image files, with a study that was begun."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.sweep.support.command_line import FOLDERS, begin, paint


@pytest.fixture
def there(tmp_path: Path, grid_text: str) -> Path:
    """A folder with a grid, and with something in the study's place that must not be touched."""
    (tmp_path / "grid.yaml").write_text(grid_text)
    kept = tmp_path / "studies/grid/stages/pretrain-x-0123456789abcdef"
    kept.mkdir(parents=True)
    (kept / "result.json").write_text('{"status": "done"}')
    return tmp_path


@pytest.fixture
def folders(there: Path) -> Path:
    """The same with a target of image files: 2 classes of 4."""
    (there / "grid.yaml").write_text(FOLDERS)
    paint(there / "data/cells")
    return there


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, grid_text: str) -> Path:
    """A folder with a study that was begun."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "grid.yaml").write_text(grid_text)
    begin(folder)
    return folder


@pytest.fixture
def again(begun: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder where the command is called."""
    return Path(shutil.copytree(begun, tmp_path, dirs_exist_ok=True))
