"""Tests of the augmentations after the built-in warp and colour map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from trainables.data.loading.augment import draw
from trainables.data.loading.augmentations.base import (
    AugmentationSpec,
    DrawnOperation,
    apply_operations,
    augmentations,
)
from trainables.data.loading.augmentations.gaussian_blur import TRUNCATE, GaussianBlur
from trainables.data.loading.batches import InputSpec, Part, TrainingBatches, evaluation_batches
from trainables.data.packing.prepare import Packed
from trainables.specs import Augmentation

OFF = {"flip": False, "rotate": 0, "scale": 0, "shift": 0, "brightness": 0, "contrast": 0, "saturation": 0, "stain": 0}
RAW = InputSpec(16, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), torch.device("cpu"))
BLUR = {"name": "gaussian_blur", "options": {"sigma": 1.5}}
NUMBERS = np.arange(6, dtype=np.uint64)


@pytest.fixture(scope="module")
def photos(in_memory: Callable[..., Packed]) -> Part:
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    return Part(in_memory([0, 1] * 6, images=images), np.arange(12))


@pytest.fixture
def brighter() -> Iterator[None]:
    @augmentations.register("brighter")
    class Brighter(AugmentationSpec):
        draws: ClassVar[int] = 2

        def apply(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
            return images + 100 * draws.sum(1)[:, None, None, None]

    yield
    del augmentations._own["brighter"]


def batches(part: Part, *operations: Any, size: int = 12) -> dict[int, torch.Tensor]:
    """Return the images of an epoch as the network sees them, by row."""
    spec = Augmentation(**OFF, operations=operations)
    found = TrainingBatches(part, RAW, spec, size, seed=1, fold=0)
    order = torch.cat([batch.images for batch in found.epoch(0)])
    plain = torch.cat([batch.images for batch in TrainingBatches(part, RAW, Augmentation(**OFF), size, 1, 0).epoch(0)])
    rows = [
        int(np.flatnonzero([np.array_equal(p, image) for image in part.data.gather(part.rows)])[0])
        for p in plain.permute(0, 2, 3, 1).round().byte().numpy()
    ]
    return dict(zip(rows, order, strict=True))


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.0])
def test_a_blur_is_scipys(sigma: float) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (3, 20, 20, 3)).astype(np.float32)
    shares = np.array([[0.25], [0.5], [1.0]])
    blurred = apply_operations(
        torch.from_numpy(images).permute(0, 3, 1, 2), [DrawnOperation(GaussianBlur(sigma=sigma), shares)]
    )
    radius = int(np.ceil(TRUNCATE * sigma))
    for image, share, found in zip(images, shares[:, 0], blurred.permute(0, 2, 3, 1).numpy(), strict=True):
        size = sigma * share
        expected = gaussian_filter(image, (size, size, 0), mode="mirror", radius=(radius, radius, 0))
        np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_blur_of_nothing_changes_nothing_and_a_large_one_fits_a_small_image() -> None:
    images = torch.rand(2, 3, 8, 8) * 255
    still = apply_operations(images.clone(), [DrawnOperation(GaussianBlur(sigma=3), np.zeros((2, 1)))])
    torch.testing.assert_close(still, images)
    assert apply_operations(images, [DrawnOperation(GaussianBlur(sigma=10), np.ones((2, 1)))]).shape == images.shape


@pytest.mark.usefixtures("brighter")
def test_an_image_changes_alike_in_any_batch(photos: Part) -> None:
    whole, pieces = (batches(photos, BLUR, "brighter", size=size) for size in (12, 4))
    assert whole.keys() == pieces.keys() == set(range(12))
    for row, image in whole.items():
        torch.testing.assert_close(image, pieces[row])
    alike = batches(photos)
    assert all(not torch.equal(whole[row], alike[row]) for row in whole)


@pytest.mark.usefixtures("brighter")
def test_one_operation_more_leaves_the_numbers_of_the_others_alone() -> None:
    def drawn(*operations: Any) -> tuple[DrawnOperation, ...]:
        return draw(Augmentation(operations=operations), 7, NUMBERS, 16, 16).operations

    one, two = drawn(BLUR), drawn(BLUR, "brighter")
    assert [operation.draws.shape for operation in two] == [(6, 1), (6, 2)]
    assert np.array_equal(one[0].draws, two[0].draws)
    twice = drawn("brighter", "brighter")
    assert not np.array_equal(twice[0].draws, twice[1].draws)
    plain, more = (draw(Augmentation(operations=o), 7, NUMBERS, 16, 16) for o in ((), (BLUR,)))
    assert np.array_equal(plain.affine, more.affine)
    assert np.array_equal(plain.colour, more.colour)


@pytest.mark.usefixtures("brighter")
def test_each_operation_ends_within_the_range_of_a_pixel(photos: Part) -> None:
    images = torch.stack(list(batches(photos, "brighter", "brighter").values()))
    assert images.min() >= 0
    assert images.max() == 255


def test_without_operations_the_bits_are_those_of_the_table(photos: Part) -> None:
    """With one that changes nothing, the other way to normalise gives the same."""

    @augmentations.register("nothing")
    class Nothing(AugmentationSpec):
        def apply(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
            assert draws.shape == (len(images), 0)
            return images

    try:
        spec = Augmentation()
        other = Augmentation(operations=["nothing"])
        pairs = [TrainingBatches(photos, RAW, one, 4, 1, 0).epoch(0) for one in (spec, other)]
        for plain, through in zip(*pairs, strict=True):
            assert torch.equal(plain.images, through.images)
            assert through.images.is_contiguous(memory_format=torch.channels_last)
    finally:
        del augmentations._own["nothing"]


def test_evaluation_knows_no_operation(photos: Part) -> None:
    (batch,) = evaluation_batches(photos, RAW)
    assert torch.equal(
        batch.images.permute(0, 2, 3, 1).round().byte(), torch.from_numpy(photos.data.gather(photos.rows))
    )


def test_a_batch_without_an_image_is_left_alone() -> None:
    empty = torch.zeros(0, 3, 8, 8)
    assert apply_operations(empty, [DrawnOperation(GaussianBlur(), np.zeros((0, 1)))]).shape == (0, 3, 8, 8)
