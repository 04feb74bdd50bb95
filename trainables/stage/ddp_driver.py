"""The driver process of a stage of several workers, and what each worker does. Started by ``trainables.stage.ddp``.

Never run on GPUs by us: NCCL, synchronised batch norm, pinned copies.
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
    """Run the stage whose order stands on standard input; tell the news, a line of JSON each, on a channel."""
    order = sys.stdin.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    queue = Queue(actor_options={"num_cpus": 0})
    with os.fdopen(channel, "w", encoding="utf-8") as news:
        telling = threading.Thread(target=_tell, args=(queue, news))
        telling.start()
        lost = _fit(order, queue)
        queue.put((END, lost))
        telling.join()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)  # Ray takes down all that belongs to this job


def _tell(queue: Queue, news: IO[str]) -> None:
    kind = ""
    while kind != END:
        kind, content = queue.get()
        news.write(json.dumps([kind, content]) + "\n")
        news.flush()


def _fit(order: str, queue: Queue) -> str:
    """Run the workers to their end; return what the lost ones among them left behind."""
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
    from ray.train.torch import TorchTrainer

    given = json.loads(order)["workers"]
    resources = {"CPU": given["cpus"]} | ({"GPU": given["gpus"]} if given["gpus"] else {})
    with tempfile.TemporaryDirectory(prefix="sweep-train-", ignore_cleanup_errors=True) as scratch:
        trainer = TorchTrainer(
            work_as_one_of_many,
            train_loop_config={"order": order, "queue": queue},
            scaling_config=ScalingConfig(
                num_workers=given["count"], use_gpu=given["gpus"] > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(name="stage", storage_path=scratch, failure_config=no_retries()),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            return "; ".join(_first_line(f) for f in error.worker_failures.values() if _is_of_ray(f))
        except TrainingFailedError as error:  # a node was taken away, or the workers never came up
            return _first_line(error)
        return ""


def _is_of_ray(failure: BaseException) -> bool:
    """Whether Ray says it of a worker, and no worker of itself: its process or node is gone."""
    return type(failure).__module__.partition(".")[0] == "ray"


def _first_line(failure: BaseException) -> str:
    return str(failure).strip().partition("\n")[0]


def work_as_one_of_many(config: dict[str, Any]) -> None:
    """Do one worker's share of a stage. The leading one tells the news; an error is told by whoever has it."""
    from ray import train
    from ray.train.torch import get_device

    from trainables.runtime import RuntimeContext
    from trainables.specs import Stage
    from trainables.stage.log import StageLog
    from trainables.stage.preemption import is_draining, polled
    from trainables.stage.run import work
    from trainables.store.storage import Storage
    from trainables.store.study import Study
    from trainables.training import memory
    from trainables.training.distributed import DistributedContext

    order, queue = json.loads(config["order"]), config["queue"]
    context = train.get_context()
    distributed = DistributedContext(
        get_device(), context.get_world_rank(), context.get_world_size(), polled(is_draining)
    )
    stage = Stage.from_document(order["stage"])
    log = StageLog(stage, (lambda line: queue.put(("log", line))) if distributed.is_main else lambda line: None)
    try:
        study = Study(Storage(order["study"]))
        for progress in work(stage, study, RuntimeContext(**order["site"]), distributed, order["micro_batch"], log):
            if distributed.is_main:
                queue.put(("progress", asdict(progress)))
    except Exception as error:
        told = {"kind": type(error).__name__, "message": str(error), "trace": traceback.format_exc()}
        queue.put(("error", {**told, "out_of_memory": memory.is_out_of_memory(error)}))
        raise


if __name__ == "__main__":
    from trainables.stage import ddp_driver  # by its own name: workers must be able to import what they are sent

    ddp_driver.main(int(sys.argv[1]))
