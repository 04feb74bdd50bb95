"""One stage from its specification to its committed folder. The same code in a sweep, alone, or under a debugger."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import torch

from trainables.errors import LostError, StageError, StorageError
from trainables.runtime import ALONE, RuntimeContext, Workers
from trainables.specs import Stage
from trainables.stage.log import StageLog
from trainables.stage.lr_range import run_range_test
from trainables.stage.result import StageProgress
from trainables.stage.setup import set_up
from trainables.stage.train import run_training
from trainables.store import layout
from trainables.store.study import Study
from trainables.training import memory
from trainables.training.checkpoint import FILE as CHECKPOINT
from trainables.training.distributed import DistributedContext

Attempt = Callable[[int | None], Iterator[StageProgress]]


def run_stage(
    stage: Stage, study: Study, runtime: RuntimeContext, attempt: int = 1, workers: Workers = ALONE
) -> Iterator[StageProgress]:
    """Run a stage and commit its result; yield signs of life. A stage that is committed already does nothing.

    Closing the iterator stops the stage; what it has done so far is kept in its checkpoint.

    Args:
        stage: what is to be done.
        study: where it is written down.
        runtime: where the inputs lie.
        attempt: how often the stage was begun, for the record.
        workers: one works in this process; more are a Ray Train run of their own.

    Raises:
        LostError: if the storage of the study fails: that is not the stage's fault.
        Exception: whatever else went wrong, after it was written to ``failure.json`` and ``log.txt``.
    """
    try:
        yield from _run_stage(stage, study, runtime, attempt, workers)
    except StorageError as error:
        raise LostError(str(error)) from error
    finally:
        memory.trim()


def _run_stage(
    stage: Stage, study: Study, runtime: RuntimeContext, attempt: int, workers: Workers
) -> Iterator[StageProgress]:
    folder = study.folder(stage)
    if folder.result() is not None:
        folder.remove(CHECKPOINT)  # of a stage that was killed between its result and this
        return
    log = StageLog(stage)
    try:
        folder.begin(stage)
        yield from _until_it_fits(stage, _attempt(stage, study, runtime, workers, log), workers.count, log)
    except StorageError:
        raise  # it cannot be written there
    except Exception as error:
        log.say(f"failed: {type(error).__name__}: {error}")
        folder.fail(type(error).__name__, str(error), "".join(traceback.format_exception(error)), attempt)
        raise
    finally:
        with suppress(StorageError):
            folder.write(layout.LOG, log.content())


def _attempt(stage: Stage, study: Study, runtime: RuntimeContext, workers: Workers, log: StageLog) -> Attempt:
    if workers.count > 1:
        from trainables.stage.ddp import run_wide

        return lambda micro_batch: run_wide(stage, study, runtime, workers, micro_batch, log)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return lambda micro_batch: work(stage, study, runtime, DistributedContext(device), micro_batch, log)


def work(
    stage: Stage,
    study: Study,
    runtime: RuntimeContext,
    distributed: DistributedContext,
    micro_batch: int | None,
    log: StageLog,
) -> Iterator[StageProgress]:
    """Do the work of a stage as one of its workers; the one that leads writes."""
    setup = set_up(stage, study, runtime, distributed)
    if stage.kind == "lr_range":
        yield from run_range_test(setup, micro_batch, log)
    else:
        yield from run_training(setup, micro_batch, log)


def _until_it_fits(stage: Stage, attempt: Attempt, width: int, log: StageLog) -> Iterator[StageProgress]:
    """Where memory runs out, try again from the last checkpoint with half the micro-batch: the batch stays.

    Raises:
        StageError: if not even one image at a time fits.
    """
    micro_batch = stage.recipe.micro_batch
    while True:
        try:
            with closing(attempt(micro_batch)) as progress:  # type: ignore[type-var]
                yield from progress
            return
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            largest = micro_batch or math.ceil(stage.recipe.batch_size / width)
            if largest == 1:
                raise StageError(
                    f"out of memory with one image at a time: {error}. Take a smaller image_size, or another device"
                ) from None
            micro_batch = math.ceil(largest / 2)
            log.say(f"out of memory with {largest} images at a time: again with {micro_batch}")
        memory.give_back()
