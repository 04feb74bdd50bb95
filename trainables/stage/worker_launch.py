"""A stage of several workers: a Ray Train run with one process per worker, on one node or several.

The run has a driver process, and so a Ray job, of its own: when that process ends, for whatever reason, Ray stops the
workers and frees their resources. It ends with its parent process, and when it is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

import ray
import torch

from trainables.errors import LostError, StageError, StorageError, UserError
from trainables.runtime import Workers
from trainables.stage.log import StageLog
from trainables.stage.task import StageProgress, StageTask


def run_ddp(task: StageTask, workers: Workers, micro_batch: int | None) -> Iterator[StageProgress]:
    """Run a stage on several workers of the Ray cluster that this process is connected to; yield their progress.

    Args:
        task: the stage.
        workers: how many, and the resources of each.
        micro_batch: images that a worker takes at once; None: its whole share of the batch.

    Raises:
        StageError, RuntimeError: what a worker raised.
        LostError: if a worker process was lost, or its node is about to be taken away.
    """
    request = {
        "stage": task.stage.document(),
        "study": task.study.storage.location,
        "runtime": asdict(task.runtime),
        "workers": asdict(workers),
        "micro_batch": micro_batch,
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stderr:
        driver, events = _start(request, stderr)
        try:
            with events:
                yield from _relay(events, stderr, task.log)
        finally:
            driver.kill()
            driver.wait()
            if driver.stdin is not None:
                driver.stdin.close()


def _start(request: dict[str, Any], stderr: IO[str]) -> tuple[subprocess.Popen[str], IO[str]]:
    """Start the driver process; return it, and the stream of its events: one line of JSON each."""
    ours, theirs = os.pipe()
    address = ray.get_runtime_context().gcs_address
    driver = subprocess.Popen(
        [sys.executable, "-m", "trainables.stage.worker_driver", str(theirs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=[theirs],
        env={**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    )
    os.close(theirs)
    if driver.stdin is not None:  # it stays open: the driver ends when it closes
        driver.stdin.write(json.dumps(request) + "\n")
        driver.stdin.flush()
    return driver, os.fdopen(ours, encoding="utf-8")


def _relay(events: IO[str], stderr: IO[str], log: StageLog) -> Iterator[StageProgress]:
    """Yield the progress among the driver's events, write its lines to the log, raise its error at the end."""
    error: Exception | None = None
    for line in events:
        kind, content = json.loads(line)
        if kind == "progress":
            yield StageProgress(**content)
        elif kind == "log":
            log.say(content)
        elif kind == "error":
            error = error or _as_error(**content)
        elif isinstance(error, LostError):
            raise error
        elif content:  # the end, with workers lost: errors of the others are consequences of that
            raise LostError(f"a worker was lost: {content}") from error
        elif error is not None:
            raise error
        else:
            return
    stderr.seek(0)
    last = (stderr.read().strip().splitlines() or ["no output"])[-1]
    raise LostError(f"the driver of the workers ended before them: {last}")


def _as_error(kind: str, message: str, trace: str, out_of_memory: bool) -> Exception:
    """Return a worker's exception, with its traceback as a note."""
    error: Exception
    if out_of_memory:
        error = torch.OutOfMemoryError(message)
    elif kind == LostError.__name__:
        error = LostError(message)
    elif kind == StorageError.__name__:
        error = StorageError(message)
    elif kind in (StageError.__name__, UserError.__name__):
        error = StageError(message)
    else:
        error = RuntimeError(f"{kind}: {message}")
    error.add_note(f"in a worker:\n{trace}")
    return error
