"""Tests of the batches that networks see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data.loading.batches import (
    EVALUATION_BATCH,
    InputSpec,
    Part,
    TrainingBatches,
    WorkerShare,
    evaluation_batches,
)
from trainables.data.packing.prepare import Packed
from trainables.specs import Augmentation

PLAIN = Augmentation(flip=False, rotate=0, scale=0, shift=0, brightness=0, contrast=0, saturation=0, stain=0)
RAW = InputSpec(16, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), torch.device("cpu"))
"""Leaves pixels as they are: 0 to 255."""


@pytest.fixture(scope="module")
def numbered(in_memory: Callable[..., Packed]) -> Packed:
    """200 images, each of the colour of its number, of classes 0 to 2."""
    images = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 16, 16, 3)).copy()
    return in_memory([number % 3 for number in range(200)], images=images)


def numbers(images: torch.Tensor) -> list[int]:
    """Return which images a batch holds."""
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].round().int().tolist()


def epoch(part: Part, batch: int = 16, **where: Any) -> list[list[int]]:
    place = {"seed": 1, "fold": 0, "epoch": 0} | where
    batches = TrainingBatches(part, RAW, PLAIN, batch, place["seed"], place["fold"])
    found = [numbers(images) for images, _, _ in batches.epoch(place["epoch"])]
    assert len(found) == batches.steps
    return found


def test_a_value_looked_up_is_the_value_normalised() -> None:
    input_spec = InputSpec(16, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), torch.device("cpu"))
    images = np.arange(256 * 3, dtype=np.uint8).reshape(1, 16, 16, 3).repeat(2, 0)
    images[1] = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)  # every value in every channel
    found = input_spec.tensor(images)
    mean, std = (
        np.float32(np.array(part, dtype=np.float32) * np.float32(255)) for part in (input_spec.mean, input_spec.std)
    )
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), (images.astype(np.float32) - mean) / std)
    assert found.shape == (2, 3, 16, 16)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert input_spec.tensor(images[:0]).shape == (0, 3, 16, 16)


def test_labels_go_with_their_images(numbered: Packed) -> None:
    part = Part(numbered, np.arange(20, 120))
    for batches in (TrainingBatches(part, RAW, PLAIN, 16, 1, 0).epoch(0), evaluation_batches(part, RAW)):
        for images, labels, whole in batches:
            assert whole.tolist() == labels.tolist()
            assert labels.tolist() == [number % 3 for number in numbers(images)]
            assert labels.dtype == torch.int64


@pytest.mark.parametrize("change", [{"seed": 2}, {"fold": 1}, {"fold": None}, {"epoch": 1}])
def test_the_order_depends_on_seed_fold_and_epoch(numbered: Packed, change: dict[str, Any]) -> None:
    part = Part(numbered, np.arange(64))
    assert epoch(part) == epoch(part)
    assert epoch(part, **change) != epoch(part)
    assert sorted(sum(epoch(part, **change), [])) == list(range(64))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 40))
def test_every_batch_is_full_and_no_image_comes_twice(numbered: Packed, images: int, batch: int) -> None:
    rows = np.arange(100, 100 + images)
    batches = epoch(Part(numbered, rows), batch)
    assert len(batches) == max(1, images // batch)
    seen = sum(batches, [])
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(rows.tolist())
    if images < batch:
        assert [sorted(one) for one in batches] == [rows.tolist()]
    else:
        assert {len(one) for one in batches} == {batch}
        assert images - len(seen) < batch


def test_all_images_are_seen_over_the_epochs(numbered: Packed) -> None:
    part = Part(numbered, np.arange(20))
    left_out = [set(range(20)) - set(sum(epoch(part, 16, epoch=number), [])) for number in range(20)]
    assert {len(left) for left in left_out} == {4}
    assert set.intersection(*left_out) == set()


def test_changes_depend_on_the_image_and_not_on_its_batch(numbered: Packed) -> None:
    """So cells that differ in their rate, or in the batch, see the same images."""
    part = Part(numbered, np.arange(40))
    seen: list[dict[int, torch.Tensor]] = []
    jitter = PLAIN.model_copy(update={"stain": 0.2})
    for batch in (8, 20):
        order = sum(epoch(part, batch), [])
        images = torch.cat([images for images, _, _ in TrainingBatches(part, RAW, jitter, batch, 1, 0).epoch(0)])
        seen.append(dict(zip(order, images, strict=True)))
    assert seen[0].keys() == seen[1].keys() == set(range(40))
    assert all(torch.equal(seen[0][number], seen[1][number]) for number in range(40))


def test_changes_differ_from_epoch_to_epoch_and_fold_to_fold(numbered: Packed) -> None:
    part = Part(numbered, np.array([150]))
    jitter = PLAIN.model_copy(update={"stain": 0.2})
    places = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, None, 0), (2, 0, 0)]
    first = (next(TrainingBatches(part, RAW, jitter, 1, seed, fold).epoch(epoch)) for seed, fold, epoch in places)
    colours = {tuple(batch.images[0, :, 0, 0].tolist()) for batch in first}
    assert len(colours) == len(places)


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5))
def test_shares_are_the_rows_of_one_batch(numbered: Packed, images: int, batch: int, size: int) -> None:
    """For any number of workers: the same images with the same changes, each once, in the same order."""
    part, jitter = Part(numbered, np.arange(100, 100 + images)), PLAIN.model_copy(update={"stain": 0.2})
    whole = list(TrainingBatches(part, RAW, jitter, batch, 1, 0).epoch(0))
    shares = [
        list(TrainingBatches(part, RAW, jitter, batch, 1, 0).epoch(0, WorkerShare(rank, size))) for rank in range(size)
    ]
    for step, one in enumerate(whole):
        for rank in range(size):
            own = shares[rank][step]
            assert torch.equal(own.images, one.images[rank::size])
            assert torch.equal(own.labels, one.labels[rank::size])
            assert own.whole_labels.tolist() == one.labels.tolist()
            assert len(own.labels) > 0 or len(one.labels) < size
    assert {len(share) for share in shares} == {len(whole)}


@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_batches_are_skipped_without_decoding_them(
    numbered: Packed, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    part = Part(numbered, np.arange(70))
    whole = epoch(part)
    all_gather: list[int] = []
    gather = Packed.gather
    monkeypatch.setattr(Packed, "gather", lambda self, rows: (all_gather.append(len(rows)), gather(self, rows))[1])  # type: ignore[func-returns-value]
    left = [numbers(b.images) for b in TrainingBatches(part, RAW, PLAIN, 16, 1, 0).epoch(0, start=start)]
    assert left == whole[start:]
    assert all_gather == [16] * max(0, 4 - start)


@settings(max_examples=30)
@given(st.integers(1, 150), st.integers(1, 5))
def test_shares_of_an_evaluation_are_the_part_each_image_once(numbered: Packed, count: int, size: int) -> None:
    rows = np.random.default_rng(0).permutation(200)[:count]
    shares = [evaluation_batches(Part(numbered, rows), RAW, WorkerShare(rank, size)) for rank in range(size)]
    seen = [sum((numbers(batch.images) for batch in share), []) for share in shares]
    assert seen == [rows[rank::size].tolist() for rank in range(size)]


@pytest.mark.parametrize(("rank", "size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_worker_that_is_not_there_has_no_share(rank: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"no worker {rank} of {size}"):
        WorkerShare(rank, size)


def test_a_gpu_would_change_the_images_itself(
    in_memory: Callable[..., Packed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch for CUDA, with pinning taken out, its tensors staying on the CPU: the same batch within rounding."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    part = Part(in_memory([0, 1] * 4, images=pixels), np.arange(8))
    (expected,) = TrainingBatches(part, RAW, Augmentation(), 8, 1, 0).epoch(0)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    copied: list[bool] = []

    class Cuda:
        type = "cuda"

    def to(self: torch.Tensor, *where: Any, non_blocking: bool = False) -> torch.Tensor:
        copied.append(non_blocking)
        return move(self, *[place for place in where if not isinstance(place, Cuda)] or ["cpu"])

    move, make = torch.Tensor.to, torch.tensor
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch, "tensor", lambda values, device: make(values))
    (found,) = TrainingBatches(part, InputSpec(16, RAW.mean, RAW.std, Cuda()), Augmentation(), 8, 1, 0).epoch(0)  # type: ignore[arg-type]
    assert torch.equal(found.labels, expected.labels)
    assert (found.images - expected.images).abs().max() < 1.5
    assert not torch.equal(found.images, expected.images)
    assert found.images.is_contiguous(memory_format=torch.channels_last)
    assert copied.count(True) >= 2


@pytest.mark.parametrize("count", [1, EVALUATION_BATCH - 1, EVALUATION_BATCH, EVALUATION_BATCH + 1, 200])
def test_evaluation_shows_every_image_once_in_order(numbered: Packed, count: int) -> None:
    rows = np.random.default_rng(0).permutation(200)[:count]
    shown = sum((numbers(images) for images, _, _ in evaluation_batches(Part(numbered, rows), RAW)), [])
    assert shown == rows.tolist()


def test_evaluation_changes_nothing_but_the_size(in_memory: Callable[..., Packed]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    part = Part(in_memory([0, 1, 0], images=pixels), np.arange(3))
    (images, _, _), *_ = evaluation_batches(part, RAW)
    assert torch.equal(images, torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    larger = InputSpec(24, RAW.mean, RAW.std, RAW.device)
    assert next(iter(evaluation_batches(part, larger)))[0].shape == (3, 3, 24, 24)
    assert next(iter(TrainingBatches(part, larger, Augmentation(), 2, 0, 0).epoch(0)))[0].shape == (2, 3, 24, 24)


def test_normalisation_is_of_each_channel_in_zero_to_one() -> None:
    mean, std = (0.5630, 0.4959, 0.7353), (0.2421, 0.2835, 0.1767)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    tensor = InputSpec(8, mean, std, torch.device("cpu")).tensor(pixels)
    expected = ((pixels / 255.0 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-6)
    assert tensor.dtype == torch.float32


def test_red_is_the_first_channel_and_memory_is_channels_last() -> None:
    pixels = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    pixels[..., 0] = 255
    tensor = RAW.tensor(pixels)
    assert tensor.shape == (2, 3, 8, 8)
    assert (tensor[:, 0] == 255).all()
    assert (tensor[:, 1:] == 0).all()
    assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_a_part_has_its_own_labels(numbered: Packed) -> None:
    part = Part(numbered, np.array([5, 3, 1]))
    assert len(part) == 3
    assert part.labels.tolist() == [2, 0, 1]


def test_normalising_by_rows_gives_the_bits_of_normalising_by_channels() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 33, 33, 3), dtype=np.uint8)
    wide = [torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (mean, std)]
    wanted = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().sub_(wide[0]).div_(wide[1])
    tensor = InputSpec(33, mean, std, torch.device("cpu")).tensor(pixels)
    assert torch.equal(tensor, wanted)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
