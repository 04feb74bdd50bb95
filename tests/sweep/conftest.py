"""Small grids, inputs that need no files, and the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, settings

from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.plan.inputs import Inputs, WeightsFile
from sweep.plan.plan import Plan, make_plan
from tests.sweep.support.tiny_grid import tiny_grid
from trainables.data.packing.prepare import Packed
from trainables.data.splits.splits import Split
from trainables.hashing import digest

settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("project")

ROOT = Path(__file__).parents[2]

GRID = tiny_grid(images=6, pretrain_epochs=2, finetune_epochs=3)


@pytest.fixture(scope="session", autouse=True)
def plain_hardware() -> Iterator[None]:
    """A machine on which ``precision: auto`` is float32, whatever this one is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweep.grid.auto.settings.of_this_machine", lambda: "none")
        yield


@pytest.fixture(scope="session")
def grid_text() -> str:
    """A small complete grid: 1 pre-training stage, 8 cells."""
    return GRID


@pytest.fixture
def document() -> dict[str, Any]:
    """The same as a document, to be changed."""
    return dict(yaml.safe_load(GRID))


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Grid]:
    """Read a grid from text or from a document, through a file as a user's is."""
    folder = tmp_path_factory.mktemp("grids")

    def read(content: str | dict[str, Any], *settings: str) -> Grid:
        file = folder / "grid.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return load_grid(str(file), settings)

    return read


@pytest.fixture(scope="session")
def at_hand() -> Callable[..., Inputs]:
    """Pretend that all data and weights of a grid are at hand; ``salt`` gives others."""

    def pretend(grid: Grid, salt: str = "") -> Inputs:
        inputs = Inputs()
        for name in grid.data_sets:
            content = grid.data_specs[name].model_dump(mode="json")
            fingerprint = digest([content, salt])
            inputs.data[name] = Packed(Path(name), ("a", "b"), fingerprint, 32)
            folds = grid.file.split.folds if name == grid.file.target else 1
            table = pa.table(
                {"fold": [f for f in range(folds) for _ in range(3)], "split": ["train", "train", "val"] * folds}
            )
            inputs.splits[name] = Split(table, digest([fingerprint, grid.file.split.model_dump(), folds]))
        for start, architecture in grid.weights:
            sha256 = digest([grid.weights_source(start, architecture).model_dump(), salt])
            inputs.weights[start, architecture] = WeightsFile(Path(f"{start}-{architecture}"), sha256)
        return inputs

    return pretend


@pytest.fixture(scope="session")
def planned(load: Callable[..., Grid], at_hand: Callable[..., Inputs]) -> Callable[..., Plan]:
    """Plan a grid, given as text or document, with all inputs at hand."""

    def plan(content: str | dict[str, Any], *settings: str) -> Plan:
        grid = load(content, *settings)
        return make_plan(grid, at_hand(grid))

    return plan


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which no download cache holds anything."""
    unset = ("TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "COLUMNS", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path / "nobody")}


@pytest.fixture
def run(tmp_path: Path, bare_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call ``python -m sweep.run`` in an empty folder."""

    def call(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sweep.run", *arguments]
        return subprocess.run(command, cwd=cwd, env=bare_environment, capture_output=True, text=True, timeout=60)

    return call
