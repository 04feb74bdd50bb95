"""Real data and real weights, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SWEEP_TEST_SHARED") or Path(__file__).parents[2] / "shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones, so that the many quick ones fill what is left of the last minutes."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _with(folder: Path, *names: str) -> Path:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        pytest.skip(
            f"no {', '.join(missing)} in {folder}: SWEEP_TEST_SHARED names the folder that holds data/ and weights/"
        )
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: bone_marrow/, pcam/, cats_vs_dogs/."""
    return _with(SHARED / "data", "bone_marrow", "pcam", "cats_vs_dogs")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of real ImageNet weights."""
    return _with(
        SHARED / "weights",
        "timm-tf_efficientnet_lite0-imagenet1k.safetensors",
        "torchvision-squeezenet1_1-imagenet1k.safetensors",
    )
