"""Tests of making the next batch while the present one is used. The device is a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from trainables.data.loading import prefetch as module
from trainables.data.loading.batches import Batch, InputSpec, Part, TrainingBatches, WorkerShare, evaluation_batches
from trainables.data.loading.prefetch import prefetch
from trainables.data.packing.prepare import Packed
from trainables.specs import Augmentation

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_ON", {"cpu"})


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_all_items_come_in_their_order(count: int) -> None:
    with prefetch(iter(range(count)), CPU) as items:
        assert list(items) == list(range(count))
    assert helpers() == []


def test_a_device_that_gains_nothing_is_given_the_items_as_they_are() -> None:
    items = iter([1, 2])
    with prefetch(items, torch.device("meta")) as same:
        assert same is items


def test_the_next_item_and_no_more_is_made_while_the_present_one_is_used() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    with prefetch(items(), CPU) as coming:
        assert next(coming) == 0
        assert made[1].wait(10)  # nobody has asked for it
        assert not made[2].wait(0.1)
        assert list(coming) == [1, 2, 3]


def test_it_is_made_by_another_thread_and_its_error_is_raised_in_this_one() -> None:
    def items() -> Iterator[int]:
        yield threading.get_ident()
        raise torch.OutOfMemoryError("CUDA out of memory")

    with prefetch(items(), CPU) as coming:
        assert next(coming) != threading.get_ident()
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            next(coming)
    assert helpers() == []


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_waits_for_the_item_under_way_and_ends_the_thread(taken: int) -> None:
    finished: list[int] = []
    hold = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            if number == taken:
                hold.wait(0.2)
            finished.append(number)
            yield number

    def broken() -> None:
        with prefetch(items(), CPU) as coming:
            for _ in range(taken):
                next(coming)
            raise RuntimeError("the step broke")

    with pytest.raises(RuntimeError, match="the step broke"):
        broken()
    assert finished == list(range(taken + 1 if taken else 0))
    assert helpers() == []


@pytest.mark.parametrize("share", [WorkerShare(0, 1), WorkerShare(1, 3)])
def test_batches_made_ahead_have_the_same_bits(in_memory: Callable[..., Packed], share: WorkerShare) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (150, 16, 16, 3), dtype=np.uint8)
    part = Part(in_memory([0, 1, 2] * 50, images=pixels), np.random.default_rng(1).permutation(150))
    input_spec = InputSpec(24, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), CPU)

    def made() -> list[Iterator[Batch]]:
        training = TrainingBatches(part, input_spec, Augmentation(), 16, 1, 0).epoch(0, share, start=2)
        return [training, evaluation_batches(part, input_spec, share)]

    for plain, used in zip(made(), made(), strict=True):
        with prefetch(used, CPU) as coming:
            found, expected = list(coming), list(plain)
        assert len(found) == len(expected) > 0
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.images, other.images)
            assert one.images.stride() == other.images.stride()
            assert torch.equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.whole_labels, other.whole_labels)
