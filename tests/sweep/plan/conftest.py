"""A grid with every sort of scenario, and a look for inputs below the test's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.plan.inputs import Inputs, gather
from tests.sweep.support.rich_grid import SCENARIOS

Document = dict[str, Any]


@pytest.fixture
def rich(document: Document) -> Document:
    """A grid with every sort of scenario, two architectures and two rates."""
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["weights"] = {"imagenet": {"tiny": {"file": "a"}, "resnet18": {"file": "b"}}}
    document["scenarios"] = dict(SCENARIOS)
    document["axes"]["architecture"] = ["tiny", "resnet18"]
    return document


@pytest.fixture
def no_download_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Inputs]:
    """Gather what there is in ``data``, ``weights`` and ``cache`` of the test's folder."""
    return lambda grid, weights=None: gather(grid, tmp_path / "data", weights, tmp_path / "cache")
