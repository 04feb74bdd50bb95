"""Stages that train: ``pretrain`` and ``finetune``."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
from torch import nn

from trainables.data.loading.batches import Part
from trainables.errors import LostError
from trainables.models.weights import pack_weights
from trainables.stage.log import StageLog
from trainables.stage.preemption import NOTICE
from trainables.stage.result import StageProgress, commit
from trainables.stage.setup import Setup
from trainables.store import layout
from trainables.store.study import SELECTED_ON
from trainables.training import memory
from trainables.training.checkpoint import Checkpoint
from trainables.training.epoch import EpochRecord, PreemptionEvent
from trainables.training.evaluation import Evaluator, Logits
from trainables.training.heartbeat import RateLimiter, with_heartbeat
from trainables.training.loss import class_weights
from trainables.training.metrics import confusion, summary
from trainables.training.train_step import TrainStep
from trainables.training.trainer import Trainer


def run_training(setup: Setup, micro_batch: int | None, log: StageLog) -> Iterator[StageProgress]:
    """Train, choose the epoch on val, score it once, and commit."""
    stage, runtime, distributed = setup.stage, setup.runtime, setup.distributed
    memory.begin_watching(setup.input_spec.device)
    pulse = runtime.pulse_seconds if distributed.is_main else math.inf
    weights = class_weights(stage.recipe, setup.parts["train"])
    step = TrainStep(setup.backbone.module, stage.recipe, setup.learning_rate, distributed, weights, micro_batch)
    training = Trainer(step, setup.batches, setup.parts["val"], setup.learning_rate, RateLimiter(pulse))
    log.say(_described(setup))
    scratch = runtime.scratch if distributed.size == 1 else None
    checkpoint = Checkpoint(setup.folder, str(stage.key), runtime.checkpoint_seconds, scratch, log.say)
    try:
        yield from _kept(training, checkpoint, log)
        yield from _finish(setup, training, micro_batch, log)
    except GeneratorExit:  # stopped from outside, between two steps
        if distributed.size == 1:
            checkpoint.save(training.state)
        raise
    if distributed.is_main:
        checkpoint.discard()


def _described(setup: Setup) -> str:
    train, val = len(setup.parts["train"]), len(setup.parts["val"])
    workers = (
        f"{setup.distributed.size} × {setup.input_spec.device}"
        if setup.distributed.size > 1
        else str(setup.input_spec.device)
    )
    return (
        f"{train} train and {val} val images of {setup.stage.data.name}; {workers}; "
        f"from {setup.stage.initial.source} weights; start rate {setup.learning_rate:g}"
    )


def _kept(training: Trainer, checkpoint: Checkpoint, log: StageLog) -> Iterator[StageProgress]:
    """Train from the last checkpoint on, and keep checkpoints on the way.

    Raises:
        LostError: if the node of one of several workers is about to be taken away; the state is kept.
    """
    resumed = checkpoint.load()
    if resumed is not None:
        log.say(f"resumed after {len(resumed['epochs'])} epochs and {resumed['tally']['steps']} steps")
    epochs, distributed = training.train_step.recipe.epochs, training.train_step.distributed
    for event in training.run(resumed):
        if isinstance(event, PreemptionEvent):
            if distributed.is_main:
                checkpoint.save(training.state)
            distributed.barrier()  # not before it is written: when one worker ends, Ray Train ends the others
            raise LostError(NOTICE)
        if isinstance(event, EpochRecord):
            log.say(_line(event))
            progress = StageProgress(event.epoch + 1, epochs, shown_of(event))
        else:
            progress = StageProgress(event.epochs, epochs)
        if distributed.is_main and (
            distributed.size == 1 or progress.shown
        ):  # within an epoch each worker knows its own part
            checkpoint.offer(training.state)
        yield progress


def _finish(setup: Setup, training: Trainer, micro_batch: int | None, log: StageLog) -> Iterator[StageProgress]:
    """Score the selected weights once, write all files, and commit."""
    started = time.perf_counter()
    stage, folder = setup.stage, setup.folder
    module = training.train_step.module
    module.load_state_dict(training.best_state)
    alive = StageProgress(len(training.epochs), stage.recipe.epochs)
    metrics, predictions = yield from with_heartbeat(_score(setup, module), training.heartbeat, alive)
    if (
        not setup.distributed.is_main or folder.result() is not None
    ):  # another process was quicker: the first result stands
        return
    digests = {"history.parquet": folder.write_table(layout.HISTORY, history_table(training.epochs))}
    if stage.kind == "finetune":
        digests[layout.PREDICTIONS] = folder.write_table(layout.PREDICTIONS, predictions)
    if setup.runtime.keep_weights == "all" or stage.kind == "pretrain":
        digests[layout.WEIGHTS] = folder.write(layout.WEIGHTS, pack_weights(training.best_state))
    scoring = time.perf_counter() - started
    commit(
        setup,
        digests,
        micro_batch,
        sum(epoch.seconds for epoch in training.epochs) + scoring,
        selected_on=SELECTED_ON,
        selected_epoch=training.best.epoch,
        learning_rate=setup.learning_rate,
        metrics=metrics,
        weights="kept" if layout.WEIGHTS in digests else "dropped: keep_weights is pretrain",
    )
    log.say(f"done: epoch {training.best.epoch} of {len(training.epochs)} chosen on {SELECTED_ON}")


def _score(setup: Setup, module: nn.Module) -> Generator[None, None, tuple[dict[str, float], pa.Table]]:
    """Score each part but train once, with the selected weights; return flat metrics and the predictions."""
    metrics: dict[str, float] = {}
    tables = []
    evaluator = Evaluator(setup.input_spec, setup.stage.recipe, setup.distributed)
    for name, part in setup.parts.items():
        if name == "train":
            continue
        logits, measured = yield from evaluator.evaluate(module, part)
        matrix = confusion(part.labels, logits.argmax(1), logits.shape[1])
        found = {"loss": measured["loss"], **summary(matrix), **measured}
        # A metric that is not defined on a part is left out: JSON has no NaN.
        metrics |= {f"{name}_{measure}": value for measure, value in found.items() if math.isfinite(value)}
        tables.append(_predictions(name, part, logits))
    return metrics, pa.concat_tables(tables)


def _predictions(name: str, part: Part, logits: Logits) -> pa.Table:
    classes = logits.shape[1]
    return pa.table(
        {
            "image_id": part.data.index.column("image_id").take(pa.array(part.rows)),
            "split": pa.array([name] * len(part), pa.string()),
            "label": part.labels,
            "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.reshape(-1), pa.float32()), classes),
        }
    )


def history_table(epochs: list[EpochRecord]) -> pa.Table:
    """Return ``history.parquet``: one row an epoch and part."""
    rows: list[dict[str, Any]] = [
        {
            "epoch": e.epoch,
            "split": part,
            **dict.fromkeys(e.val),  # of train the recipe's metrics are not known
            **shown,
            "learning_rate": e.learning_rate,
            "images_per_second": e.images_per_second,
            "seconds": e.seconds,
        }
        for e in epochs
        for part, shown in (("train", e.train), ("val", e.val))
    ]
    return pa.Table.from_pylist(rows)


def shown_of(e: EpochRecord) -> dict[str, float]:
    """Return an epoch flat, as it is streamed."""
    parts = {f"{part}_{name}": v for part, shown in (("train", e.train), ("val", e.val)) for name, v in shown.items()}
    rest = {"learning_rate": e.learning_rate, "images_per_second": e.images_per_second, "seconds": e.seconds}
    return {"epoch": float(e.epoch), **parts, **rest}


def _line(e: EpochRecord) -> str:
    return (
        f"epoch {e.epoch}: train loss {e.train['loss']:.4f} f1 {e.train['f1_macro']:.3f}; val loss {e.val['loss']:.4f} "
        f"f1 {e.val['f1_macro']:.3f}; rate {e.learning_rate:g}; {e.images_per_second:.0f} images/s"
    )
