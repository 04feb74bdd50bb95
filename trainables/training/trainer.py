"""Training with selection on val: the epochs of one stage. The test part is not known here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from trainables.data.loading.batches import Part, TrainingBatches
from trainables.data.loading.prefetch import prefetch
from trainables.errors import StageError
from trainables.hashing import derive_seed
from trainables.models.backbones import State
from trainables.training.early_stopping import best_epoch, is_over
from trainables.training.epoch import EpochRecord, PreemptionEvent, ProgressEvent
from trainables.training.epoch_totals import EpochTotals
from trainables.training.evaluation import Evaluator
from trainables.training.heartbeat import RateLimiter, with_heartbeat
from trainables.training.lr_schedule import rate_factor
from trainables.training.train_step import TrainStep

CHECK_LOSS_EVERY = 32
"""Steps between two checks of the loss on a GPU: each waits for it. On a CPU it is checked at every step."""


@dataclass
class Trainer:
    """A network in training, with the best epoch so far.

    Attributes:
        train_step: the network, its optimizer, recipe and workers.
        batches: the training images.
        val: the images that the epoch is selected on.
        learning_rate: start learning rate.
        heartbeat: says when a ``ProgressEvent`` is due within an epoch.
        epochs: all finished epochs.
        best_state: the weights after the selected epoch.
    """

    train_step: TrainStep
    batches: TrainingBatches
    val: Part
    learning_rate: float
    heartbeat: RateLimiter
    epochs: list[EpochRecord] = field(default_factory=list)
    best_state: State = field(default_factory=dict)
    _totals: EpochTotals = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no worker can share."""
        smallest, workers = min(self.batches.batch_size, len(self.batches.part)), self.train_step.distributed.size
        if smallest < workers:
            raise StageError(f"a batch of {smallest} images cannot be shared by {workers} workers: take fewer")
        self._totals = self._empty_totals()

    @property
    def best(self) -> EpochRecord:
        """The selected epoch, see ``best_epoch``."""
        return self.epochs[best_epoch(self.train_step.recipe, [epoch.val for epoch in self.epochs])]

    def run(self, state: dict[str, Any] | None = None) -> Iterator[EpochRecord | ProgressEvent | PreemptionEvent]:
        """Train epoch by epoch; yield the record of each, and progress within it.

        Args:
            state: of a checkpoint: training goes on where it was.

        Yields:
            events. ``PreemptionEvent`` is the last where it comes, for every worker after the same step.

        Raises:
            StageError: if the loss is not finite.
            UserError: if the recipe names a schedule, rule or metric that there is not.
        """
        if state is not None:
            self._restore(state)
        self._refuse_other_state()
        while not is_over(self.train_step.recipe, [epoch.val for epoch in self.epochs]):
            for event in self._train_epoch():
                yield event
                if isinstance(event, PreemptionEvent):
                    return
            yield from self._end_epoch()
            yield self.epochs[-1]

    def state(self) -> dict[str, Any]:
        """Return all that ``run`` needs to go on: tensors and plain values.

        Within an epoch it holds the totals of this worker only, but at ``PreemptionEvent`` those of all: several workers
        go on from there, or from the end of an epoch.
        """
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "weights": self.train_step.module.state_dict(),
            "best_weights": self.best_state,
            "optimizer": self.train_step.optimizer.state_dict(),
            "tally": self._totals.state(),  # its name in every checkpoint so far
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.epochs = [EpochRecord(**epoch) for epoch in state["epochs"]]
        self.train_step.module.load_state_dict(state["weights"])
        self.best_state = state["best_weights"]
        self.train_step.optimizer.load_state_dict(state["optimizer"])
        self._totals = EpochTotals.from_state(state["tally"], self.train_step.distributed)

    def _refuse_other_state(self) -> None:
        """Raise where the workers would go on from different states. Collective."""
        distributed = self.train_step.distributed
        own = np.array([len(self.epochs), self._totals.steps], dtype=np.float64)
        if not np.array_equal(distributed.all_reduce(own), own * distributed.size):
            raise StageError(f"worker {distributed.rank} read another checkpoint than the others: {own.tolist()}")

    def _train_epoch(self) -> Iterator[ProgressEvent | PreemptionEvent]:
        """Take the steps of an epoch that are left."""
        number, totals, steps = len(self.epochs), self._totals, self.batches.steps
        distributed = self.train_step.distributed
        self.train_step.module.train()
        started = time.perf_counter()
        with prefetch(self.batches.epoch(number, distributed.share, totals.steps), distributed.device) as batches:
            for batch in batches:
                self._seed_step(number, totals.steps)
                rate = self._learning_rate(number * steps + totals.steps)
                totals.add(batch, *self.train_step.step(batch, rate))
                is_checked = self._is_checked(totals.steps)
                if is_checked:
                    _refuse_divergence("loss", float(totals.loss), f"in epoch {number}, step {totals.steps - 1}", rate)
                totals.seconds += time.perf_counter() - started
                if is_checked and distributed.any_preempted():
                    self._totals = totals.of_all(distributed)
                    yield PreemptionEvent()
                    return
                if totals.steps < steps and self.heartbeat.due():
                    yield ProgressEvent(number + totals.steps / steps)
                started = time.perf_counter()

    def _seed_step(self, epoch: int, step: int) -> None:
        """Seed torch anew at each step: a resumed stage draws the same dropout without any saved random state."""
        batches, rank = self.batches, self.train_step.distributed.rank
        torch.manual_seed(derive_seed("network", batches.seed, batches.fold, epoch, step, rank))

    def _is_checked(self, steps: int) -> bool:
        on_cpu = self.train_step.distributed.device.type == "cpu"
        return on_cpu or steps % CHECK_LOSS_EVERY == 0 or steps == self.batches.steps

    def _end_epoch(self) -> Iterator[ProgressEvent]:
        """Evaluate on the val part and append the epoch's record."""
        number, module, distributed = len(self.epochs), self.train_step.module, self.train_step.distributed
        started = time.perf_counter()
        rate = self._learning_rate(number * self.batches.steps + self._totals.steps - 1)
        totals = self._totals.of_all(distributed)
        evaluator = Evaluator(self.batches.input_spec, self.train_step.recipe, distributed)
        progress = ProgressEvent(number + 1.0)
        _, val = yield from with_heartbeat(evaluator.evaluate(module, self.val), self.heartbeat, progress)
        _refuse_divergence("val loss", val["loss"], f"after epoch {number}", rate)
        seconds = totals.seconds + time.perf_counter() - started
        speed = totals.images / totals.seconds
        self.epochs.append(EpochRecord(number, totals.metrics(), val, rate, speed, seconds))
        if self.best.epoch == number:
            self.best_state = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
        self._totals = self._empty_totals()

    def _learning_rate(self, step: int) -> float:
        val_scores = [epoch.val["f1_macro"] for epoch in self.epochs]
        return self.learning_rate * rate_factor(self.train_step.recipe, step, self.batches.steps, val_scores)

    def _empty_totals(self) -> EpochTotals:
        return EpochTotals.empty(len(self.batches.part.data.classes), self.train_step.distributed.device)


def _refuse_divergence(what: str, value: float, when: str, rate: float) -> None:
    """Raise StageError where a loss is not finite."""
    if not math.isfinite(value):
        raise StageError(
            f"the {what} became {value} {when}, at learning rate {rate:g}. Take a lower rate, warm-up, or clip_norm"
        )
