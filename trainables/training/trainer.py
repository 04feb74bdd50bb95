"""Training with selection on val: the epochs of one stage. The test part is not known here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.loading.batches import Batch, InputSpec, Part, steps_per_epoch, training_batches
from trainables.data.loading.prefetch import prefetch
from trainables.hashing import derive_seed
from trainables.models.backbones import Backbone, State
from trainables.specs import Recipe
from trainables.training.distributed import DistributedContext
from trainables.training.evaluation import evaluating, shown
from trainables.training.heartbeat import RateLimiter, with_heartbeat
from trainables.training.lr_schedule import rate_factor
from trainables.training.train_step import StageError, TrainStep

LOOK_EVERY = 32
"""Steps between two looks at the loss on a GPU: each look waits for it. On a CPU every step is looked at."""


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch showed. ``train`` and ``val``: loss, accuracy, f1_macro."""

    epoch: int
    train: dict[str, float]
    val: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class ProgressEvent:
    """A sign of life within an epoch: epochs done, with the part of the one under way."""

    epochs: float


@dataclass(frozen=True)
class PreemptionEvent:
    """A worker's node is about to be taken away: the state is to be kept now, and nothing more is done."""


@dataclass
class EpochTotals:
    """What the epoch under way has seen so far, on the device.

    Attributes:
        steps: number of steps taken.
        loss: sum over steps of mean loss × images, a float64 scalar.
        matrix: confusion matrix, shape (classes, classes), int64.
        seconds: spent on it.
    """

    steps: int
    loss: torch.Tensor
    matrix: torch.Tensor
    seconds: float

    @classmethod
    def empty(cls, classes: int, device: torch.device) -> EpochTotals:
        """Begin an epoch."""
        zeros = torch.zeros(classes, classes, dtype=torch.int64, device=device)
        return cls(0, torch.zeros((), dtype=torch.float64, device=device), zeros, 0.0)

    def add(self, batch: Batch, loss: torch.Tensor, predicted: torch.Tensor) -> None:
        """Count a step."""
        classes = len(self.matrix)
        places = batch.labels * classes + predicted
        self.matrix += torch.bincount(places, minlength=classes**2).view(classes, classes)
        self.loss += loss.double() * len(batch.whole_labels)
        self.steps += 1

    def totals(self, distributed: DistributedContext) -> tuple[float, NDArray[np.int64]]:
        """Return the loss and the confusion matrix over all workers."""
        own = torch.cat([self.loss.view(1), self.matrix.double().view(-1)]).cpu().numpy()
        loss, *counts = distributed.all_reduce(own)
        return float(loss), np.array(counts, dtype=np.int64).reshape(self.matrix.shape)

    def of_all(self, distributed: DistributedContext) -> EpochTotals:
        """Return what all workers have seen so far."""
        loss, matrix = self.totals(distributed)
        device = distributed.device
        return EpochTotals(
            self.steps,
            torch.tensor(loss, dtype=torch.float64, device=device),
            torch.from_numpy(matrix).to(device),
            self.seconds,
        )

    def measures(self, distributed: DistributedContext) -> tuple[dict[str, float], int]:
        """Return loss, accuracy and f1_macro over all workers, and the number of images."""
        loss, matrix = self.totals(distributed)
        images = int(matrix.sum())
        return {"loss": loss / images, **shown(matrix)}, images


@dataclass
class Trainer:
    """A network in training, with the best epoch so far.

    Attributes:
        distributed: the workers of the stage; this one's device.
        micro_batch: images a worker takes at once; None: its whole share.
        pulse: seconds between two signs of life within an epoch.
        epochs: all finished epochs.
        best_state: the weights after the epoch of the highest val f1_macro (the earliest on a tie).
    """

    backbone: Backbone
    recipe: Recipe
    learning_rate: float
    seed: int
    fold: int | None
    input_spec: InputSpec
    train: Part
    val: Part
    distributed: DistributedContext
    micro_batch: int | None = None
    pulse: float = math.inf
    epochs: list[EpochRecord] = field(default_factory=list)
    best_state: State = field(default_factory=dict)
    _stepper: TrainStep = field(init=False, repr=False)
    _tally: EpochTotals = field(init=False, repr=False)
    _beat: RateLimiter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no worker can share."""
        self._beat = RateLimiter(self.pulse)
        smallest = min(self.recipe.batch_size, len(self.train))
        if smallest < self.distributed.size:
            raise StageError(
                f"a batch of {smallest} images cannot be shared by {self.distributed.size} workers: take fewer"
            )

    @property
    def best(self) -> EpochRecord:
        """The selected epoch: highest val f1_macro, the earliest on a tie."""
        return max(self.epochs, key=lambda e: (e.val["f1_macro"], -e.epoch))

    def run(self, state: dict[str, Any] | None = None) -> Iterator[EpochRecord | ProgressEvent | PreemptionEvent]:
        """Train epoch by epoch; yield what each showed, and signs of life. From a ``state``, go on where it was.

        ``PreemptionEvent`` is the last thing yielded where it comes, by every worker after the same step.

        Raises:
            StageError: if the loss is not finite.
        """
        self._stepper = TrainStep(
            self.backbone.module,
            self.recipe,
            self.learning_rate,
            self.distributed,
            self._class_weights(),
            self.micro_batch,
        )
        self._tally = self._nothing_seen()
        if state is not None:
            self._restore(state)
        self._agree()
        while not self._is_over:
            for event in self._train():
                yield event
                if isinstance(event, PreemptionEvent):
                    return
            yield from self._end_epoch()
            yield self.epochs[-1]

    @property
    def _is_over(self) -> bool:
        """Whether all epochs are done, or the last ``patience`` of them brought no better val score."""
        patience = self.recipe.patience
        idle = len(self.epochs) - 1 - self.best.epoch if self.epochs else 0
        return len(self.epochs) >= self.recipe.epochs or (patience is not None and idle >= patience)

    def state(self) -> dict[str, Any]:
        """Return all that ``run`` needs to go on: tensors and plain values.

        Within an epoch it holds this worker's tally only, but at ``PreemptionEvent`` that of all: several workers go on from
        there, or from the end of an epoch.
        """
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "weights": self._stepper.module.state_dict(),
            "best_weights": self.best_state,
            "optimizer": self._stepper.optimizer.state_dict(),
            "tally": dict(vars(self._tally)),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.epochs = [EpochRecord(**epoch) for epoch in state["epochs"]]
        self._stepper.module.load_state_dict(state["weights"])
        self.best_state = state["best_weights"]
        self._stepper.optimizer.load_state_dict(state["optimizer"])
        tally = state["tally"]
        mine = int(self.distributed.is_main)  # one tally, of one worker or of all, is counted once
        loss, matrix = (tally[name].to(self.distributed.device) * mine for name in ("loss", "matrix"))
        self._tally = EpochTotals(tally["steps"], loss, matrix, tally["seconds"])

    def _agree(self) -> None:
        own = np.array([len(self.epochs), self._tally.steps], dtype=np.float64)
        if not np.array_equal(self.distributed.all_reduce(own), own * self.distributed.size):
            raise StageError(f"worker {self.distributed.rank} read another checkpoint than the others: {own.tolist()}")

    def _train(self) -> Iterator[ProgressEvent | PreemptionEvent]:
        """Take the steps of an epoch that are left."""
        number, tally, steps = len(self.epochs), self._tally, self._steps
        self._stepper.module.train()
        mark = time.perf_counter()
        with prefetch(self._batches(number, tally.steps), self.distributed.device) as batches:
            for batch in batches:
                # Seeded anew each step: a resumed stage draws the same dropout without any saved random state.
                torch.manual_seed(
                    derive_seed("network", self.seed, self.fold, number, tally.steps, self.distributed.rank)
                )
                rate = self._rate(number * steps + tally.steps)
                tally.add(batch, *self._stepper.step(batch, rate))
                looks = self.distributed.device.type == "cpu" or tally.steps % LOOK_EVERY == 0 or tally.steps == steps
                if looks:
                    _refuse_divergence("loss", float(tally.loss), f"in epoch {number}, step {tally.steps - 1}", rate)
                tally.seconds += time.perf_counter() - mark
                if looks and self.distributed.any_preempted():
                    self._tally = tally.of_all(self.distributed)
                    yield PreemptionEvent()
                    return
                if tally.steps < steps and self._beat.due():
                    yield ProgressEvent(number + tally.steps / steps)
                mark = time.perf_counter()

    def _end_epoch(self) -> Iterator[ProgressEvent]:
        """Look at val, and take the epoch down."""
        number, tally, module = len(self.epochs), self._tally, self._stepper.module
        started = time.perf_counter()
        rate = self._rate(number * self._steps + tally.steps - 1)
        train, images = tally.measures(self.distributed)
        looking = evaluating(module, self.val, self.input_spec, self.recipe, self.distributed)
        _, val = yield from with_heartbeat(looking, self._beat, ProgressEvent(number + 1.0))
        _refuse_divergence("val loss", val["loss"], f"after epoch {number}", rate)
        seconds = tally.seconds + time.perf_counter() - started
        self.epochs.append(EpochRecord(number, train, val, rate, images / tally.seconds, seconds))
        if self.best.epoch == number:
            self.best_state = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
        self._tally = self._nothing_seen()

    @property
    def _steps(self) -> int:
        return steps_per_epoch(len(self.train), self.recipe.batch_size)

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        recipe = self.recipe
        return training_batches(
            self.train,
            self.input_spec,
            recipe.augmentation,
            recipe.batch_size,
            self.seed,
            self.fold,
            epoch,
            self.distributed.share,
            start,
        )

    def _rate(self, step: int) -> float:
        val_scores = [epoch.val["f1_macro"] for epoch in self.epochs]
        return self.learning_rate * rate_factor(self.recipe, step, self._steps, val_scores)

    def _nothing_seen(self) -> EpochTotals:
        return EpochTotals.empty(len(self.train.data.classes), self.distributed.device)

    def _class_weights(self) -> torch.Tensor | None:
        return class_weights(self.recipe, self.train)


def class_weights(recipe: Recipe, part: Part) -> torch.Tensor | None:
    """Return the weight of each class in the loss, shape (classes,): None, or images / (classes × its images)."""
    if recipe.class_weights == "none":
        return None
    classes = len(part.data.classes)
    counts = np.bincount(part.labels, minlength=classes)
    return torch.tensor(len(part) / (classes * np.maximum(counts, 1)), dtype=torch.float32)


def _refuse_divergence(what: str, value: float, when: str, rate: float) -> None:
    if not math.isfinite(value):
        raise StageError(
            f"the {what} became {value} {when}, at learning rate {rate:g}. Take a lower rate, warm-up, or clip_norm"
        )
