"""Tests of the totals of the epoch under way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from trainables.data.loading.batches import Batch
from trainables.training.distributed import DistributedContext
from trainables.training.epoch_totals import COUNT_EVERY, EpochTotals

CPU = DistributedContext(torch.device("cpu"))
CLASSES = 4


def seen(steps: int) -> tuple[EpochTotals, np.ndarray, np.ndarray, list[float]]:
    """Totals after some steps of 5 images, with what they are of: labels, predictions, mean losses."""
    rng = np.random.default_rng(steps)
    totals, labels, predicted, losses = EpochTotals.empty(CLASSES, CPU.device), [], [], []
    for _ in range(steps):
        truth, guess, loss = rng.integers(0, CLASSES, 5), rng.integers(0, CLASSES, 5), float(rng.uniform())
        totals.add(Batch(torch.zeros(5), torch.from_numpy(truth), truth), torch.tensor(loss), torch.from_numpy(guess))
        labels.append(truth)
        predicted.append(guess)
        losses.append(loss)
    return totals, np.concatenate(labels), np.concatenate(predicted), losses


@pytest.mark.parametrize("steps", [1, COUNT_EVERY - 1, COUNT_EVERY, 2 * COUNT_EVERY + 3])
def test_they_are_of_every_image_once(steps: int) -> None:
    totals, labels, predicted, losses = seen(steps)
    assert np.array_equal(totals.matrix(), confusion_matrix(labels, predicted, labels=range(CLASSES)))
    assert totals.images == 5 * steps
    found = totals.metrics()
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert found["f1_macro"] == pytest.approx(
        f1_score(labels, predicted, average="macro", labels=range(CLASSES), zero_division=0)
    )


def test_predictions_do_not_pile_up_on_the_device() -> None:
    totals, *_ = seen(5 * COUNT_EVERY + 1)
    assert len(totals._waiting) == 1


def test_a_checkpoint_holds_them_and_they_go_on() -> None:
    totals, *_ = seen(7)
    kept = {name: value.clone() if torch.is_tensor(value) else value for name, value in totals.state().items()}
    again = EpochTotals.from_state(kept, CPU)
    assert again.steps == 7
    assert again.metrics() == totals.metrics()
    batch = Batch(torch.zeros(1), torch.tensor([2]), np.array([2]))
    again.add(batch, torch.tensor(1.0), torch.tensor([3]))
    assert again.images == 36
    assert totals.images == 35


@dataclass(frozen=True)
class Three(DistributedContext):
    """Worker 0 of three that have all seen the same."""

    size: int = 3

    def all_reduce(self, values: np.ndarray) -> np.ndarray:
        return 3 * values


def test_totals_of_all_workers_are_counted_once_when_they_go_on() -> None:
    totals, *_ = seen(7)
    every = totals.of_all(Three(CPU.device))
    assert every.images == 3 * totals.images
    assert every.metrics() == pytest.approx(totals.metrics())
    state = every.state()
    workers = [EpochTotals.from_state(state, DistributedContext(CPU.device, rank, 3)) for rank in range(3)]
    assert [worker.images for worker in workers] == [every.images, 0, 0]
    assert [float(worker.loss) for worker in workers] == [float(every.loss), 0.0, 0.0]
    assert {worker.steps for worker in workers} == {7}
