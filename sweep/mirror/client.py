"""Calls to the W&B client. Any of them may raise anything, or block for minutes: see ``sweep.mirror.worker``."""

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

from sweep.compat.wandb import CLIENT_PROCESS, LEAN_SETTINGS, stop_status_checker
from sweep.mirror.run_fields import MAX_NAME_CHARS, config_of, group_of, tags_of
from sweep.mirror.run_link import RunLink
from sweep.mirror.settings import MirrorSettings
from trainables.specs import Stage

EPOCH_METRICS = ("train_*", "val_*", "learning_rate", "images_per_second", "seconds")
KILL_SECONDS = 10.0
"""A client process that was asked to end is killed after this time."""
RUN_SETTINGS: dict[str, Any] = {
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "silent": True,
    "init_timeout": 15.0,
    "finish_timeout": 30.0,
    "finish_timeout_raises": True,
    **LEAN_SETTINGS,
}
FOREIGN_VARIABLES = (
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
"""Variables (after ``WANDB_``) that would change a stage's run. With those of a sweep the client ignores our run id; with
``SERVICE`` it uses the client process of another program, which it could not restart."""
_runs: weakref.WeakSet[Any] = weakref.WeakSet()


def client() -> Any:
    """Import the client, so that it prints nothing and ignores the variables of another run; return its module."""
    for name in FOREIGN_VARIABLES:
        os.environ.pop(f"WANDB_{name}", None)
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def open_run(
    settings: MirrorSettings, log_root: str, stage: Stage, stage_folder: str, link: RunLink, stop: Callable[[], None]
) -> Any:
    """Start or resume the run of a stage.

    Args:
        settings: mode, project, entity and sweep.
        log_root: the client writes its logs to ``wandb/`` below this folder.
        stage: becomes the name, group, tags and configuration of the run.
        stage_folder: path of the stage's folder, shown in the configuration.
        link: has the id of the run.
        stop: called by a thread of the client when someone stops the run in the dashboard.

    Returns:
        the client's ``Run``.

    Raises:
        Exception: whatever the client raises.
    """
    wandb = client()
    Path(log_root).mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        entity=settings.entity,
        project=settings.project,
        dir=log_root,
        id=link.run,
        name=stage.name[:MAX_NAME_CHARS],
        group=group_of(stage),
        job_type=stage.kind,
        tags=tags_of(stage.fold, stage.learning_rate),
        config=config_of(stage, settings.study, stage_folder),
        mode=settings.mode,
        resume="allow",
        reinit="create_new",  # does not touch a run that the user's network opened
        settings=wandb.Settings(sweep_id=settings.sweep, stop_fn=stop, **RUN_SETTINGS),
    )
    _runs.add(run)
    run.define_metric("epoch")
    for metric in EPOCH_METRICS:
        run.define_metric(metric, step_metric="epoch")
    return run


def shut_down() -> None:
    """End the client's process, which may be dead or hang, and its threads here. The next run starts another process."""
    wandb = sys.modules.get("wandb")
    if wandb is None:
        return
    for run in list(_runs):
        _runs.discard(run)
        stop_status_checker(run)
    ending = processes()
    deadline = threading.Timer(KILL_SECONDS, _kill, [ending])
    deadline.daemon = True
    deadline.start()
    with suppress(Exception, SystemExit):  # the client exits with the status of a process that is dead
        wandb.teardown()
    psutil.wait_procs(ending)  # the client does not wait if its connection breaks
    deadline.cancel()


def processes() -> list[psutil.Process]:
    """Return the client processes that this process started, including dead ones that were not waited for."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # gone meanwhile
            if child.name() == CLIENT_PROCESS:
                found.append(child)
    return found


def _kill(ending: list[psutil.Process]) -> None:
    for process in ending:
        with suppress(psutil.Error):
            process.kill()
