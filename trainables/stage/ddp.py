"""A stage of two workers or more: a Ray Train run with one process a worker, on one node or several.

The run has a driver process, and so a Ray job, of its own: when that process ends, however it ends, Ray takes
down the workers and gives back what they held. It ends with its parent, and when it is told to.
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
from trainables.runtime import RuntimeContext, Workers
from trainables.specs import Stage
from trainables.stage.log import StageLog
from trainables.stage.result import StageProgress
from trainables.store.study import Study


def run_wide(
    stage: Stage, study: Study, runtime: RuntimeContext, workers: Workers, micro_batch: int | None, log: StageLog
) -> Iterator[StageProgress]:
    """Run a stage on several workers of the Ray cluster this process belongs to; yield their signs of life.

    Raises:
        StageError, RuntimeError: what a worker raised.
        LostError: if a worker died without a word, or left a node that is about to be taken away.
    """
    order = {
        "stage": stage.document(),
        "study": study.storage.location,
        "site": asdict(runtime),
        "workers": asdict(workers),
        "micro_batch": micro_batch,
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        driver, news = _start(order, complaints)
        try:
            with news:
                yield from _listen(news, complaints, log)
        finally:
            driver.kill()
            driver.wait()
            if driver.stdin is not None:
                driver.stdin.close()


def _start(order: dict[str, Any], complaints: IO[str]) -> tuple[subprocess.Popen[str], IO[str]]:
    mine, its = os.pipe()
    address = ray.get_runtime_context().gcs_address
    driver = subprocess.Popen(
        [sys.executable, "-m", "trainables.stage.ddp_driver", str(its)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        pass_fds=[its],
        env={**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    )
    os.close(its)
    if driver.stdin is not None:  # it stays open: the driver ends when it closes
        driver.stdin.write(json.dumps(order) + "\n")
        driver.stdin.flush()
    return driver, os.fdopen(mine, encoding="utf-8")


def _listen(news: IO[str], complaints: IO[str], log: StageLog) -> Iterator[StageProgress]:
    error: Exception | None = None
    for line in news:
        kind, content = json.loads(line)
        if kind == "progress":
            yield StageProgress(**content)
        elif kind == "log":
            log.say(content)
        elif kind == "error":
            error = error or _as_error(**content)
        elif isinstance(error, LostError):
            raise error
        elif content:  # the end, with workers lost: the others then complain of their peer, which is no error
            raise LostError(f"a worker was lost: {content}") from error
        elif error is not None:
            raise error
        else:
            return
    complaints.seek(0)
    last = (complaints.read().strip().splitlines() or ["it said nothing"])[-1]
    raise LostError(f"the workers' driver ended before them: {last}")


def _as_error(kind: str, message: str, trace: str, out_of_memory: bool) -> Exception:
    """What a worker raised, with its own traceback as a note."""
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
