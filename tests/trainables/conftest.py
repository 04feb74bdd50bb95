"""Small data sets and images that the tests of ``trainables`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from pydantic import TypeAdapter

from tests.trainables.support.stage_bench import Bench, make_bench
from trainables.data.packing.prepare import Packed
from trainables.data.readers.data_spec import DataSpec

settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("project")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tests run beside others."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture(scope="session")
def data_spec() -> Callable[..., Any]:
    """Read a data set's specification as a grid writes it."""
    adapter: TypeAdapter[Any] = TypeAdapter(DataSpec)
    return lambda **fields: adapter.validate_python(fields)


@pytest.fixture(scope="session")
def write_image() -> Callable[..., Path]:
    """Write an image of random pixels, one for each seed; the ending says in which format."""

    def write(file: Path, seed: int = 0, width: int = 24, height: int | None = None) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        return file

    return write


@pytest.fixture(scope="session")
def in_memory() -> Callable[..., Packed]:
    """Make a prepared data set that has no files: an index and, if wanted, images."""

    def make(
        labels: Sequence[int],
        *,
        groups: Sequence[str | None] | None = None,
        hashes: Sequence[str] | None = None,
        copies: Sequence[str | None] | None = None,
        parts: Sequence[str | None] | None = None,
        images: np.ndarray | None = None,
        classes: int | None = None,
    ) -> Packed:
        ids = [f"image/{number}" for number in range(len(labels))]
        names = tuple(f"class {number}" for number in range(classes or max(labels) + 1))
        packed = Packed(Path("in memory"), names, "f" * 64, 16 if images is None else images.shape[1])
        none = [None] * len(labels)
        packed.__dict__["index"] = pa.table(
            {
                "image_id": pa.array(ids, pa.string()),
                "label": pa.array(labels, pa.int64()),
                "group": pa.array(groups or none, pa.string()),
                "part": pa.array(parts or none, pa.string()),
                "sha256": pa.array(hashes or ids, pa.string()),
                "copies": pa.array(copies or none, pa.string()),
                "left_out": pa.array(none, pa.string()),
            }
        )
        if images is not None:
            packed.__dict__["_pixels"] = SimpleNamespace(take=lambda rows: images[rows])
        return packed

    return make


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Prepared data of two kinds, and how stages on them are made."""
    return make_bench(tmp_path_factory.mktemp("cache"))
