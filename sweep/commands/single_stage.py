"""One stage alone, in this process (``--cell``): the same function as in a sweep, so that a debugger can follow it."""

from __future__ import annotations

import sys

from sweep.commands.exit_status import DONE, FAILED
from sweep.commands.preparation import PreparedStudy
from sweep.commands.run_options import RunOptions
from sweep.commands.runtime_context import local_runtime
from sweep.mirror.mode import decide
from sweep.mirror.worker import Mirror
from sweep.monitor.console import Terminal
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.study import Study

MIRROR_SECONDS = 30.0
"""Time that the end of the stage waits at most for W&B."""


def run_single_stage(stage: Stage, prepared: PreparedStudy, options: RunOptions, terminal: Terminal) -> int:
    """Run one stage in this process.

    Args:
        stage: of the plan.
        prepared: the study and its inputs.
        options: of the run.
        terminal: shows its epochs.

    Returns:
        The exit status.

    Raises:
        UserError: if an upstream stage is not done.
    """
    study = prepared.study
    _refuse_without_upstream(stage, study)
    from trainables.stage.run import run_stage

    runtime = local_runtime(prepared, options.limits.checkpoint)
    settings = decide(options.mirror, study, terminal.say)
    mirror = Mirror()
    mirror.begin(settings.document() if settings else None, study.storage.location, stage, runtime)
    try:
        for progress in run_stage(stage, study, runtime):
            mirror.epoch(progress.metrics)
            if metrics := progress.metrics:
                terminal.say(
                    f"epoch {progress.epoch:g} of {progress.epochs}: val F1 {metrics['val_f1_macro']:.3f}, "
                    f"{metrics['images_per_second']:.0f} images/s"
                )
    except Exception as error:
        mirror.end("failed", type(error).__name__)
        if sys.gettrace() is not None:  # the debugger stops at it
            raise
        terminal.faults([f"{type(error).__name__}: {error}", f"log: {study.folder(stage).path(layout.LOG)}"])
        return FAILED
    finally:
        mirror.end("done" if study.folder(stage).result() else "stopped")
        mirror.close(MIRROR_SECONDS)
    terminal.say(f"done: {study.folder(stage).path()}")
    return DONE


def _refuse_without_upstream(stage: Stage, study: Study) -> None:
    states = study.states()
    lacking = [short_key(key) for key in stage.upstream if states.get(short_key(key)) != "done"]
    if lacking:
        raise UserError(f"{stage.name} needs stages that are not done: run --cell {', --cell '.join(lacking)} first")
