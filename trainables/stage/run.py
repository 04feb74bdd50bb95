"""Runs one stage, from its specification to its committed folder: in a sweep, alone, or under a debugger."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import torch

from trainables.errors import LostError, StageError, StorageError
from trainables.runtime import ONE_WORKER, RuntimeContext, Workers
from trainables.specs import Stage
from trainables.stage.log import StageLog
from trainables.stage.lr_range import run_range_test
from trainables.stage.setup import set_up
from trainables.stage.task import StageProgress, StageTask
from trainables.stage.train import run_training
from trainables.store import layout
from trainables.store.study import Study
from trainables.training import memory
from trainables.training.checkpoint import FILE as CHECKPOINT
from trainables.training.distributed import DistributedContext

Attempt = Callable[[int | None], Iterator[StageProgress]]
"""Runs the stage with a micro-batch size (None: a worker's whole share of the batch)."""


def run_stage(
    stage: Stage, study: Study, runtime: RuntimeContext, attempt: int = 1, workers: Workers = ONE_WORKER
) -> Iterator[StageProgress]:
    """Run a stage, yield its progress, and commit its result. Does nothing if the stage is committed already.

    Closing the iterator stops the stage; its checkpoint keeps what was done so far.

    Args:
        stage: what to do.
        study: where to write it.
        runtime: where the inputs are on this node.
        attempt: how often the stage was started, for ``failure.json``.
        workers: one works in this process; more are a Ray Train run.

    Raises:
        LostError: if the storage of the study fails, which is no error of the stage.
        Exception: any other error, after it was written to ``failure.json`` and ``log.txt``.
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
    task = StageTask(stage, study, runtime, StageLog(stage))
    folder = task.folder
    if folder.result() is not None:
        folder.files.remove(CHECKPOINT)  # left by a process that was killed right after its commit
        return
    try:
        folder.begin(stage)
        yield from _shrinking_micro_batch(task, _attempt(task, workers), workers.count)
    except StorageError:
        raise  # nothing can be written there
    except Exception as error:
        task.log.say(f"failed: {type(error).__name__}: {error}")
        folder.fail(type(error).__name__, str(error), "".join(traceback.format_exception(error)), attempt)
        raise
    finally:
        with suppress(StorageError):
            folder.files.write(layout.LOG, task.log.content())


def _attempt(task: StageTask, workers: Workers) -> Attempt:
    if workers.count > 1:
        from trainables.stage.worker_launch import run_ddp

        return lambda micro_batch: run_ddp(task, workers, micro_batch)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return lambda micro_batch: run_worker(task, DistributedContext(device), micro_batch)


def run_worker(task: StageTask, distributed: DistributedContext, micro_batch: int | None) -> Iterator[StageProgress]:
    """Run one worker's share of a stage; the main worker writes the files and commits.

    Args:
        task: the stage.
        distributed: the workers of the stage, and which of them this is.
        micro_batch: images that a worker takes at once; None: its whole share of the batch.
    """
    setup = set_up(task, distributed, micro_batch)
    yield from run_range_test(setup) if task.stage.kind == "lr_range" else run_training(setup)


def _shrinking_micro_batch(task: StageTask, attempt: Attempt, workers: int) -> Iterator[StageProgress]:
    """When memory runs out, resume from the last checkpoint with half the micro-batch; the batch itself stays.

    Raises:
        StageError: if not even one image at a time fits.
    """
    micro_batch = task.stage.recipe.micro_batch
    while True:
        try:
            with closing(attempt(micro_batch)) as progress:  # type: ignore[type-var]
                yield from progress
            return
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            largest = micro_batch or math.ceil(task.stage.recipe.batch_size / workers)
            if largest == 1:
                raise StageError(
                    f"out of memory with one image at a time: {error}. Take a smaller image_size, or another device"
                ) from None
            micro_batch = math.ceil(largest / 2)
            task.log.say(f"out of memory with {largest} images at a time: again with {micro_batch}")
        memory.give_back()
