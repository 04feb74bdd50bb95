"""Tests of images that stay on a device, with tensors of the CPU in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainables.data.loading import batches
from trainables.data.loading.batches import InputSpec, Part, TrainingBatches, WorkerShare, evaluation_batches
from trainables.data.loading.gpu_cache import SHARE_OF_FREE, free_bytes, make_resident
from trainables.data.packing.prepare import Packed
from trainables.specs import Augmentation

CPU = torch.device("cpu")
WANT = InputSpec(16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), CPU)


@pytest.fixture(scope="module")
def part(in_memory: Callable[..., Packed]) -> Part:
    """50 of 80 random images, in no order."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (80, 20, 20, 3), dtype=np.uint8)
    return Part(in_memory([number % 4 for number in range(80)], images=images), rng.permutation(80)[:50])


def test_what_is_taken_is_what_would_be_gathered(part: Part) -> None:
    resident = make_resident(part.data, part.rows, CPU, free=1 << 30)
    assert resident is not None
    for rows in (part.rows[:1], part.rows[[7, 3, 7]], part.rows):
        np.testing.assert_array_equal(resident.take(rows).numpy(), part.data.gather(rows))


def test_an_image_that_is_not_there_is_no_other(part: Part) -> None:
    resident = make_resident(part.data, part.rows, CPU, free=1 << 30)
    assert resident is not None
    with pytest.raises(IndexError):
        resident.take(np.setdiff1d(np.arange(80), part.rows)[:1])


def test_images_stay_only_where_they_leave_most_of_the_memory(part: Part) -> None:
    size = 50 * 20 * 20 * 3
    assert make_resident(part.data, part.rows, CPU, free=int(size / SHARE_OF_FREE) + 1) is not None
    assert make_resident(part.data, part.rows, CPU, free=int(size / SHARE_OF_FREE) - 1) is None
    assert make_resident(part.data, part.rows[:0], CPU, free=1 << 30) is None


def test_a_cpu_keeps_nothing_twice(part: Part) -> None:
    assert free_bytes(CPU) == 0
    assert part.on(CPU).resident is None


@pytest.mark.parametrize("share", [WorkerShare(0, 1), WorkerShare(1, 3)])
def test_batches_are_the_same_within_rounding(part: Part, share: WorkerShare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "free_bytes", lambda device: 1 << 30)
    kept = part.on(CPU)
    assert kept.resident is not None
    for found, expected in zip(
        [*TrainingBatches(kept, WANT, Augmentation(), 8, 1, 0).epoch(0, share), *evaluation_batches(kept, WANT, share)],
        [*TrainingBatches(part, WANT, Augmentation(), 8, 1, 0).epoch(0, share), *evaluation_batches(part, WANT, share)],
        strict=True,
    ):
        assert torch.equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.whole_labels, expected.whole_labels)
        assert (found.images - expected.images).abs().max() < 1.5 / 255 / 0.1
        assert found.images.is_contiguous(memory_format=torch.channels_last)


def test_some_of_a_part_are_still_there(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "free_bytes", lambda device: 1 << 30)
    some = replace(part.on(CPU), rows=part.rows[10:20])
    (batch,) = evaluation_batches(some, WANT)
    assert batch.labels.tolist() == some.labels.tolist()
