"""The driver process of a stage of several workers, and the function of each worker. Started by ``trainables.stage.worker_launch``.

Not tested on GPUs: NCCL, synchronised batch norm, pinned copies.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict
from typing import IO, Any

import ray
from ray.util.queue import Queue

from trainables.compat.ray import no_retries

END = "end"


def main(channel: int) -> None:
    """Run the stage whose request is on standard input.

    Args:
        channel: file descriptor that the events are written to, one line of JSON each.
    """
    request = sys.stdin.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    queue = Queue(actor_options={"num_cpus": 0})
    with os.fdopen(channel, "w", encoding="utf-8") as events:
        forwarding = threading.Thread(target=_forward, args=(queue, events))
        forwarding.start()
        lost = _run_workers(request, queue)
        queue.put((END, lost))
        forwarding.join()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # Ray stops everything that belongs to this job


def _forward(queue: Queue, events: IO[str]) -> None:
    kind = ""
    while kind != END:
        kind, content = queue.get()
        events.write(json.dumps([kind, content]) + "\n")
        events.flush()


def _run_workers(request: str, queue: Queue) -> str:
    """Run the workers to their end; return the messages about those that were lost."""
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
    from ray.train.torch import TorchTrainer

    workers = json.loads(request)["workers"]
    resources = {"CPU": workers["cpus"]} | ({"GPU": workers["gpus"]} if workers["gpus"] else {})
    with tempfile.TemporaryDirectory(prefix="sweep-train-", ignore_cleanup_errors=True) as scratch:
        trainer = TorchTrainer(
            run_one_worker,
            train_loop_config={"request": request, "queue": queue},
            scaling_config=ScalingConfig(
                num_workers=workers["count"], use_gpu=workers["gpus"] > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(name="stage", storage_path=scratch, failure_config=no_retries()),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            return "; ".join(_first_line(f) for f in error.worker_failures.values() if _was_lost(f))
        except TrainingFailedError as error:  # a node was taken away, or the workers never started
            return _first_line(error)
        return ""


def _was_lost(failure: BaseException) -> bool:
    """Whether Ray says it of a worker, and no worker of itself: its process or node is gone."""
    return type(failure).__module__.partition(".")[0] == "ray"


def _first_line(failure: BaseException) -> str:
    return str(failure).strip().partition("\n")[0]


def run_one_worker(config: dict[str, Any]) -> None:
    """Run one worker's share of a stage. The main worker reports progress; every worker reports its own error."""
    from ray import train
    from ray.train.torch import get_device

    from trainables.runtime import RuntimeContext
    from trainables.specs import Stage
    from trainables.stage.log import StageLog
    from trainables.stage.preemption import is_draining, throttled
    from trainables.stage.run import run_worker
    from trainables.stage.task import StageTask
    from trainables.store.storage import Storage
    from trainables.store.study import Study
    from trainables.training import memory
    from trainables.training.distributed import DistributedContext

    request, queue = json.loads(config["request"]), config["queue"]
    context = train.get_context()
    distributed = DistributedContext(
        get_device(), context.get_world_rank(), context.get_world_size(), throttled(is_draining)
    )
    stage = Stage.from_document(request["stage"])
    log = StageLog(stage, (lambda line: queue.put(("log", line))) if distributed.is_main else lambda line: None)
    try:
        task = StageTask(stage, Study(Storage(request["study"])), RuntimeContext(**request["runtime"]), log)
        for progress in run_worker(task, distributed, request["micro_batch"]):
            if distributed.is_main:
                queue.put(("progress", asdict(progress)))
    except Exception as error:
        report = {"kind": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
        queue.put(("error", {**report, "out_of_memory": memory.is_out_of_memory(error)}))
        raise


if __name__ == "__main__":
    from trainables.stage import worker_driver  # by its own name: workers must be able to import what they are sent

    worker_driver.main(int(sys.argv[1]))
