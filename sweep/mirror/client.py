"""The calls to the W&B client. They may raise anything and take their time: see ``worker``."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sweep.mirror.run_fields import LONGEST, config_of, group_of, tags_of
from sweep.mirror.run_link import RunLink
from sweep.mirror.settings import MirrorSettings, Mode
from trainables.specs import Stage

INIT_SECONDS, FINISH_SECONDS = 15.0, 30.0
CURVES = ("train_*", "val_*", "learning_rate", "images_per_second", "seconds")
END_SECONDS = 10.0
"""A client's process that was told to end is killed after so long."""
PROCESS = "wandb-core"
FOREIGN = (
    "SWEEP_ID",
    "SWEEP_PARAM_PATH",
    "RUN_ID",
    "RUN_GROUP",
    "RESUME",
    "NAME",
    "TAGS",
    "JOB_TYPE",
    "NOTES",
    "SERVICE",
)
"""Variables that would make a run something else than the stage's: with a sweep's, the client ignores our id, with a
service's it talks to the process of another, which it could not start again."""
_runs: weakref.WeakSet[Any] = weakref.WeakSet()


def client() -> Any:
    """Return the client's module, silent: what goes wrong with it is no business of the terminal."""
    for name in FOREIGN:
        os.environ.pop(f"WANDB_{name}", None)
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def open_run(
    settings: MirrorSettings,
    mode: Mode,
    folder: str,
    stage: Stage,
    stage_folder: str,
    link: RunLink,
    stop: Callable[[], None],
) -> Any:
    """Begin or continue the run of a stage.

    Args:
        settings: of the study.
        mode: online or offline, this time.
        folder: where the client keeps its logs.
        stage: what it mirrors.
        stage_folder: path of the stage's folder, for people.
        link: names the run.
        stop: called when someone stops the run in the dashboard.

    Raises:
        Exception: whatever the client raises.
    """
    wandb = client()
    Path(folder).mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        entity=settings.entity,
        project=settings.project,
        dir=folder,
        id=link.run,
        name=stage.name[:LONGEST],
        group=group_of(stage),
        job_type=stage.kind,
        tags=tags_of(stage.fold, stage.learning_rate),
        config=config_of(stage, settings.study, stage_folder),
        mode=mode,
        resume="allow",
        reinit="create_new",  # leaves alone whatever a network of the user's does with the client
        settings=wandb.Settings(sweep_id=settings.sweep, stop_fn=stop, **LEAN),
    )
    _runs.add(run)
    run.define_metric("epoch")
    for curve in CURVES:
        run.define_metric(curve, step_metric="epoch")
    return run


LEAN: dict[str, Any] = {
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "silent": True,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
    "finish_timeout_raises": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 1.0,  # else a killed process loses 15 seconds
}


def forget() -> None:
    """Give up the client's process, which may be dead or hang: the next run starts another. Nothing of it is left."""
    wandb = sys.modules.get("wandb")
    if wandb is None:
        return
    for run in list(_runs):
        _leave(run)
    ending = processes()
    deadline = threading.Timer(END_SECONDS, _kill, [ending])
    deadline.daemon = True
    deadline.start()
    with suppress(Exception, SystemExit):  # a dead one says so once, and the client would exit as it did
        wandb.teardown()
    psutil.wait_procs(ending)  # the client does not where the connection breaks on the way
    deadline.cancel()


def processes() -> list[psutil.Process]:
    """Return the client's processes that this one started, dead ones included that nobody waited for."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # gone meanwhile
            if child.name() == PROCESS:
                found.append(child)
    return found


def _kill(ending: list[psutil.Process]) -> None:
    for process in ending:
        with suppress(psutil.Error):
            process.kill()


def _leave(run: Any) -> None:
    """End the thread that asks after the network every few seconds: it would find nobody there, and fail."""
    _runs.discard(run)
    with suppress(Exception):  # a run that did not get so far has none
        run._run_status_checker.stop()
        run._run_status_checker._network_status_thread.join(1)
