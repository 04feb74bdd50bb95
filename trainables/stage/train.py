"""Stages that train a network: ``pretrain`` and ``finetune``."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trainables.errors import LostError
from trainables.stage.preemption import NOTICE
from trainables.stage.scoring import score_and_commit
from trainables.stage.setup import Setup
from trainables.stage.task import StageProgress
from trainables.training import memory
from trainables.training.checkpoint import Checkpoint
from trainables.training.epoch import EpochRecord, PreemptionEvent
from trainables.training.heartbeat import RateLimiter
from trainables.training.loss import class_weights
from trainables.training.train_step import TrainStep
from trainables.training.trainer import Trainer


def run_training(setup: Setup) -> Iterator[StageProgress]:
    """Train, choose the epoch on val, score it once, and commit; yield progress meanwhile."""
    stage, runtime, distributed, log = setup.stage, setup.task.runtime, setup.distributed, setup.task.log
    memory.begin_watching(distributed.device)
    limiter = RateLimiter(runtime.progress_seconds if distributed.is_main else math.inf)
    weights = class_weights(stage.recipe, setup.parts["train"])
    step = TrainStep(setup.backbone.module, stage.recipe, setup.learning_rate, distributed, weights, setup.micro_batch)
    training = Trainer(step, setup.batches, setup.parts["val"], setup.learning_rate, limiter)
    log.say(_description(setup))
    scratch = runtime.scratch if distributed.size == 1 else None
    checkpoint = Checkpoint(setup.task.folder, str(stage.key), runtime.checkpoint_seconds, scratch, log.say)
    try:
        yield from _train_with_checkpoints(setup, training, checkpoint)
        yield from score_and_commit(setup, training)
    except GeneratorExit:  # stopped from outside, between two steps
        if distributed.size == 1:
            checkpoint.save(training.state)
        raise
    if distributed.is_main:
        checkpoint.discard()


def _description(setup: Setup) -> str:
    train, val = len(setup.parts["train"]), len(setup.parts["val"])
    workers = f"{setup.distributed.size} × " if setup.distributed.size > 1 else ""
    return (
        f"{train} train and {val} val images of {setup.stage.data.name}; {workers}{setup.distributed.device}; "
        f"from {setup.stage.initial.source} weights; start rate {setup.learning_rate:g}"
    )


def _train_with_checkpoints(setup: Setup, training: Trainer, checkpoint: Checkpoint) -> Iterator[StageProgress]:
    """Train, from the last checkpoint if there is one, and write checkpoints meanwhile.

    Raises:
        LostError: if the node of a worker is about to be taken away; the checkpoint was written.
    """
    epochs, distributed, log = setup.stage.recipe.epochs, setup.distributed, setup.task.log
    resumed = checkpoint.load()
    if resumed is not None:
        log.say(f"resumed after {len(resumed['epochs'])} epochs and {resumed['tally']['steps']} steps")
    for event in training.run(resumed):
        if isinstance(event, PreemptionEvent):
            if distributed.is_main:
                checkpoint.save(training.state)
            distributed.barrier()  # until it is written: when one worker ends, Ray Train stops the others
            raise LostError(NOTICE)
        if isinstance(event, EpochRecord):
            log.say(_line(event))
            progress = StageProgress(event.epoch + 1, epochs, flat_metrics(event))
        else:
            progress = StageProgress(event.epochs, epochs)
        # Within an epoch each of several workers knows its own totals only.
        if distributed.is_main and (distributed.size == 1 or progress.metrics):
            checkpoint.offer(training.state)
        yield progress


def flat_metrics(e: EpochRecord) -> dict[str, float]:
    """Return an epoch's record as flat metrics, as they are streamed."""
    parts = {f"{part}_{name}": v for part, found in (("train", e.train), ("val", e.val)) for name, v in found.items()}
    rest = {"learning_rate": e.learning_rate, "images_per_second": e.images_per_second, "seconds": e.seconds}
    return {"epoch": float(e.epoch), **parts, **rest}


def _line(e: EpochRecord) -> str:
    return (
        f"epoch {e.epoch}: train loss {e.train['loss']:.4f} f1 {e.train['f1_macro']:.3f}; val loss {e.val['loss']:.4f} "
        f"f1 {e.val['f1_macro']:.3f}; rate {e.learning_rate:g}; {e.images_per_second:.0f} images/s"
    )
