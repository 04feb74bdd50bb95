"""The two back-ends of one change agree: what a GPU will do is what the CPU does, but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from trainables.data.loading.augment import AugmentParameters, apply, draw, plain
from trainables.data.loading.augment_torch import apply_tensor
from trainables.specs import Augmentation

NUMBERS = np.arange(6, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
EXACT = int(cv2.__version__.split(".")[0]) >= 5
"""OpenCV 4 rounds the places it reads from to 1/32 pixel."""

specs = st.builds(
    Augmentation,
    flip=st.booleans(),
    rotate=st.floats(0, 180),
    scale=st.floats(0, 0.9),
    shift=st.floats(0, 0.5),
    brightness=st.floats(0, 0.5),
    contrast=st.floats(0, 0.5),
    saturation=st.floats(0, 1),
    stain=st.floats(0, 0.5),
)


def changed(images: NDArray[np.uint8], change: AugmentParameters, target: int) -> NDArray[np.float64]:
    tensor = apply_tensor(torch.from_numpy(images), change, target)
    assert tensor.shape == (len(images), 3, target, target)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.permute(0, 2, 3, 1).numpy().astype(float)


def check(images: NDArray[np.uint8], change: AugmentParameters, target: int) -> None:
    """Check that OpenCV is off by no more than its roundings: half a level after the warp, amplified, and half after the colour."""
    difference = np.abs(changed(images, change, target) - apply(images, change, target))
    gain = np.abs(change.colour[:, :, :3]).sum(axis=2)
    fixed_point = 3 * 255 * 0.5 / 1024 + 0.05  # its colours are in 1/1024; and our places in float32
    allowed = 0.5 + 0.5 * gain[:, np.newaxis, np.newaxis, :] + fixed_point
    if EXACT:
        assert (difference <= allowed).all(), difference.max()
    assert difference.mean() < 0.3 * gain.max() + 0.25


@settings(max_examples=60)
@given(specs, st.integers(0, 2**63 - 1), st.sampled_from([(24, 24), (24, 40), (40, 24), (33, 16)]))
def test_both_agree_for_any_change_of_noise(spec: Augmentation, seed: int, edges: tuple[int, int]) -> None:
    images = np.random.default_rng(seed % 2**32).integers(0, 256, (6, edges[0], edges[0], 3), dtype=np.uint8)
    check(images, draw(spec, seed, NUMBERS, *edges), edges[1])


@pytest.mark.parametrize("edge", [16, 37, 120])
def test_plain_at_the_same_size_changes_nothing(edge: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, edge, edge, 3), dtype=np.uint8)
    assert np.abs(changed(images, plain(2, edge, edge), edge) - images).max() < 0.02


def test_the_border_is_mirrored_without_repeating_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    shift = AugmentParameters(np.array([[[1.0, 0.0, 5.0], [0.0, 1.0, -3.0]]]), np.eye(3, 4)[np.newaxis])
    x, y = np.arange(16) + 5, np.abs(np.arange(16) - 3)
    expected = image[0][np.ix_(y, np.where(x > 15, 30 - x, x))]
    assert np.abs(changed(image, shift, 16)[0] - expected).max() < 0.02


def test_colours_are_clamped() -> None:
    bright = np.full((6, 16, 16, 3), 250, dtype=np.uint8)
    found = changed(bright, draw(Augmentation(brightness=0.9), 1, NUMBERS, 16, 16), 16)
    assert found.max() == 255
    assert changed(255 - bright, draw(Augmentation(contrast=0.9), 1, NUMBERS, 16, 16), 16).min() == 0


def test_no_image_gives_no_image() -> None:
    nothing = np.empty((0, 16, 16, 3), dtype=np.uint8)
    change = draw(Augmentation(), 1, NUMBERS[:0], 16, 20)
    assert apply(nothing, change, 20).shape == changed(nothing, change, 20).shape == (0, 20, 20, 3)


def test_both_agree_on_real_cells(shared_data: Path) -> None:
    files: list[Any] = sorted((shared_data / "bone_marrow").rglob("NGS_*.jpg"))[:6]
    cells = np.stack([np.asarray(Image.open(file).convert("RGB").resize((120, 120))) for file in files])
    change = draw(Augmentation(), 7, NUMBERS, 120, 112)
    check(cells, change, 112)
    assert np.abs(changed(cells, change, 112) - apply(cells, change, 112)).mean() < 0.35


def test_the_precision_of_the_network_around_it_changes_no_bit() -> None:
    """Evaluation makes its batches within autocast: a place in bfloat16 would be off by up to a pixel."""
    images = np.random.default_rng(5).integers(0, 256, (6, 250, 250, 3), dtype=np.uint8)
    for change in (plain(6, 250, 224), draw(Augmentation(), 1, NUMBERS, 250, 224)):
        expected = apply_tensor(torch.from_numpy(images), change, 224)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = apply_tensor(torch.from_numpy(images), change, 224)
        assert torch.equal(found, expected)
