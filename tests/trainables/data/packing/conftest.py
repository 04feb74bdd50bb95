"""A small data set that the tests of preparing share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.data.packing import shards
from trainables.data.packing.prepare import Packed, prepare

Spec = Callable[..., Any]
Write = Callable[..., Path]
Prepare = Callable[[], Packed]


@pytest.fixture
def root(tmp_path: Path, write_image: Write) -> Path:
    """Two classes of four images, in a folder whose name is not plain."""
    for number in range(4):
        write_image(tmp_path / "my dätä" / "set" / "a" / f"{number}.png", number)
        write_image(tmp_path / "my dätä" / "set" / "b" / f"{number}.png", 10 + number)
    return tmp_path / "my dätä"


@pytest.fixture
def folder_spec(data_spec: Spec) -> Spec:
    return lambda **fields: data_spec(reader="image_folder", path="set", **fields)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_ROWS", 5)


@pytest.fixture
def again(data_spec: Spec, tmp_path: Path, small_shards: None) -> Prepare:
    """Prepare a set of 24 generated images in 5 shards."""
    spec = data_spec(reader="generated", generator="scenes", images_per_class=12, size=32)
    return lambda: prepare("scenes", spec, tmp_path, tmp_path / "cache")


@pytest.fixture
def other(data_spec: Spec, tmp_path: Path, small_shards: None) -> Packed:
    """Another set of as many images and shards."""
    spec = data_spec(reader="generated", generator="scenes", images_per_class=12, size=32, seed=1)
    return prepare("scenes", spec, tmp_path, tmp_path / "other")
