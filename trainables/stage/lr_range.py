"""Learning-rate range tests (``lr_range``): find a start rate on train and val of one fold. The weights are dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pyarrow as pa
import torch

from trainables.data.loading.batches import Batch, Part
from trainables.data.loading.prefetch import prefetch
from trainables.errors import StageError
from trainables.hashing import derive_seed, tidy_rate
from trainables.lr_range.ramp import RangeCurve, sweep_rates
from trainables.lr_range.suggestion import SuggestedRate, choose
from trainables.specs import Ramp
from trainables.stage.result import StageOutcome, commit
from trainables.stage.setup import Setup
from trainables.stage.task import StageProgress
from trainables.store import layout
from trainables.training import memory
from trainables.training.evaluation import Evaluator, batch_statistics, plain_metrics
from trainables.training.heartbeat import RateLimiter, without_heartbeat
from trainables.training.loss import class_weights
from trainables.training.train_step import TrainStep


def run_range_test(setup: Setup) -> Iterator[StageProgress]:
    """Raise the learning rate step by step, choose a start rate from the loss curve, and commit."""
    started, limiter = time.perf_counter(), RateLimiter(setup.task.runtime.progress_seconds)
    memory.begin_watching(setup.distributed.device)
    ramp, folder, log = _ramp(setup), setup.task.folder, setup.task.log
    log.say(f"range test from {ramp.start:g} to {ramp.end:g} in {ramp.steps} steps, watching the {ramp.loss} loss")
    curve = RangeCurve(np.zeros(0), np.zeros(0), np.zeros(0))
    with prefetch(endless_batches(setup), setup.distributed.device) as batches:
        for curve in sweep_rates(ramp, _RangeTest(setup, ramp, batches).loss_at):
            if limiter.due():
                yield StageProgress(len(curve.rates) / ramp.steps, 1)
    choice = choose(curve.rates, curve.smoothed, ramp)
    log.say(f"start rate {choice.learning_rate:g} ({choice.rule}): {choice.reason}")
    digests = {layout.CURVE: folder.files.write_table(layout.CURVE, curve_table(curve, choice))}
    outcome = StageOutcome(
        selected_on=f"{ramp.loss} loss of the range test",
        selected_epoch=None,
        learning_rate=tidy_rate(choice.learning_rate),
        metrics={},
        weights="dropped: a range test keeps none",
        choice=choice.document(),
    )
    commit(setup, outcome, digests, time.perf_counter() - started)


def _ramp(setup: Setup) -> Ramp:
    if setup.stage.ramp is None:
        raise StageError(f"{setup.stage.name} is a range test without a ramp")
    return setup.stage.ramp


class _RangeTest:
    """A network that takes each training step at a learning rate of its own."""

    def __init__(self, setup: Setup, ramp: Ramp, batches: Iterator[Batch]) -> None:
        stage = setup.stage
        self._setup, self._ramp, self._batches = setup, ramp, batches
        weights = class_weights(stage.recipe, setup.parts["train"])
        self._stepper = TrainStep(
            setup.backbone.module, stage.recipe, ramp.start, setup.distributed, weights, setup.micro_batch
        )
        self._watched = watched(setup.parts["val"], ramp.val_images, stage.seed, stage.fold)
        self._steps = 0

    def loss_at(self, rate: float) -> float:
        """Take a step at a learning rate; return the loss on val after it, or on its train batch."""
        stage, setup = self._setup.stage, self._setup
        torch.manual_seed(derive_seed("network", stage.seed, stage.fold, "range test", self._steps))
        self._steps += 1
        module = self._stepper.module
        module.train()
        loss, _ = self._stepper.step(next(self._batches), rate)
        if self._ramp.loss == "train":
            return float(loss)
        with batch_statistics(module):
            evaluator = Evaluator(setup.input_spec, stage.recipe, setup.distributed)
            logits = without_heartbeat(evaluator.score(module, self._watched))
        return plain_metrics(logits, self._watched.labels)["loss"]


def endless_batches(setup: Setup) -> Iterator[Batch]:
    """Yield the train batches of one epoch after another, without end."""
    for epoch in count():
        yield from setup.batches.epoch(epoch)


def watched(val: Part, most: int, seed: int, fold: int | None) -> Part:
    """Return the val images that are scored after each step: a random choice, the same for every step.

    Args:
        val: the val part.
        most: images at most.
        seed: of the study.
        fold: from 0; None for pre-training.
    """
    order = np.random.default_rng(derive_seed("range test", seed, fold)).permutation(len(val))
    return replace(val, rows=val.rows[order[:most]])


def curve_table(curve: RangeCurve, choice: SuggestedRate) -> pa.Table:
    """Return ``curve.parquet``: learning_rate, loss, smoothed_loss, chosen, rules (those that suggest this step).

    Args:
        curve: one value per step.
        choice: the suggested rates.
    """
    steps = range(len(curve.rates))
    return pa.table(
        {
            "learning_rate": curve.rates,
            "loss": curve.losses,
            "smoothed_loss": curve.smoothed,
            "chosen": pa.array([i == choice.place for i in steps], pa.bool_()),
            "rules": pa.array(
                [[rule for rule, place in choice.places.items() if place == i] for i in steps], pa.list_(pa.string())
            ),
        }
    )
