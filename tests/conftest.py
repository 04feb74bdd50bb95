"""Real data and real weights, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SWEEP_TEST_SHARED") or Path(__file__).parents[2] / "shared")


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: SWEEP_TEST_SHARED names the folder that holds data/ and weights/")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: bone_marrow/, pcam/, cats_vs_dogs/."""
    return _present(SHARED / "data")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of real ImageNet weights."""
    return _present(SHARED / "weights")
