"""The steps of ``sweep.run`` in order: prepare; then print the plan, or run it. Errors become exit statuses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from sweep.commands.exit_status import BAD_INPUT, DONE, FAILED, HELD, NO_CLUSTER
from sweep.commands.preparation import PreparedStudy, prepare
from sweep.commands.run_messages import same_command
from sweep.commands.run_options import RunOptions
from sweep.commands.study_header import write_study
from sweep.cost.prices import load_prices
from sweep.engine.ray_session import ClusterError, refuse_temporary_folder
from sweep.engine.signals import SIGNALS, SignalHandler
from sweep.engine.study_lock import HeldError, study_lock
from sweep.mirror.mode import refuse_bad_place
from sweep.monitor.console import Terminal
from sweep.plan.network_checks import MEMORY, trials, try_networks
from sweep.plan.reuse import take_over
from sweep.plan.stage_diff import stage_diff
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.specs import Stage
from trainables.store.stage_lookup import find_planned
from trainables.store.study import Study


def execute(options: RunOptions) -> int:
    """Do what the options say; return the exit status."""
    terminal = Terminal()
    with SignalHandler() as signals:
        try:
            return _execute(options, terminal, signals)
        except (KeyboardInterrupt, SystemExit) as error:  # while Ray starts, SIGTERM is a SystemExit of its own
            number = signal.SIGTERM if isinstance(error, SystemExit) else signal.SIGINT
            return _interrupted(terminal, signals.status or SIGNALS[number])
        except UserError as error:
            terminal.faults(error.faults)
            return BAD_INPUT
        except HeldError as error:
            terminal.faults([str(error)])
            return HELD
        except ClusterError as error:
            terminal.faults([f"{error}. What is finished is kept; this goes on: {same_command()}"])
            return NO_CLUSTER
        except Exception:
            if signals.status is None:
                raise
            return _interrupted(terminal, signals.status)  # it came in the middle of an import in C, which then failed


def _interrupted(terminal: Terminal, status: int) -> int:
    terminal.say(f"interrupted. What is finished is kept; this goes on: {same_command()}")
    return status


def _execute(options: RunOptions, terminal: Terminal, signals: SignalHandler) -> int:
    begun = time.monotonic()
    if options.starts_ray:
        refuse_temporary_folder()
    prices = load_prices(options.prices)
    reused = Study.open(options.reuse) if options.reuse else None  # now, so that a plan says it too if there is none
    prepared = prepare(options, terminal)
    if options.plan.why:
        terminal.raw(stage_diff(prepared.plan, prepared.study, *options.plan.why))
        return DONE
    if options.plan.show:
        from sweep.commands.plan_command import show_plan

        show_plan(prepared, options, prices, terminal)
        return DONE
    stage = _check_runnable(prepared, options)
    refuse_bad_place(options.mirror, prepared.study)
    _try_networks(prepared, prepared.plan.stages if stage is None else [stage])
    with study_lock(prepared.study, lambda reason: _stop(terminal, reason)):
        _begin(prepared, options, reused, terminal)
        try:
            if stage is not None:
                from sweep.commands.single_stage import run_single_stage

                return run_single_stage(stage, prepared, options, terminal)
            from sweep.commands.cluster_session import ClusterSession
            from sweep.commands.study_run import StudyRun

            session = ClusterSession(prepared, options, prices, terminal, signals, begun)
            return StudyRun(prepared, terminal, session.run).run()
        except OSError as error:  # a full disk, a lost share; of those that stages meet, the stages tell
            again = f"What is finished is kept; once that is mended: {same_command()}"
            terminal.faults([f"{prepared.study.storage.path()}: {error}. {again}"])
            return FAILED


def _check_runnable(prepared: PreparedStudy, options: RunOptions) -> Stage | None:
    """Return the one stage that is to run, if one is given.

    Raises:
        UserError: if an input is missing, this machine is too small, or there is no such stage.
    """
    missing = prepared.inputs.missing
    if missing:
        raise UserError([*missing, f"{len(missing)} inputs are missing or unusable: nothing was started"])
    if not options.cell and not options.cluster.address and (why := prepared.too_wide):
        raise UserError(why)
    return find_planned(prepared.plan.stages, options.cell, "--cell") if options.cell else None


def _try_networks(prepared: PreparedStudy, stages: Sequence[Stage]) -> None:
    """Have every network of stages to do look at a batch of noise, with its initial weights.

    Raises:
        UserError: with a sentence for each network that cannot be trained as the grid says.
    """
    states = prepared.study.states()
    to_do = [stage for stage in stages if states.get(short_key(stage.key)) != "done"]
    if faults := try_networks(trials(to_do, prepared.inputs), prepared.cache / MEMORY):
        raise UserError([*faults, "nothing was started"])


def _begin(prepared: PreparedStudy, options: RunOptions, reused: Study | None, terminal: Terminal) -> None:
    """Write what the study is, and copy the finished stages of another study if one is given."""
    study, plan = prepared.study, prepared.plan
    try:
        write_study(study, prepared.name, plan, prepared.inputs, options.inputs.absolute())
    except OSError as error:
        raise UserError(f"cannot write to {study.storage.path()}: {error}. Give --storage a place that can") from error
    if reused is not None:
        taken, faults = take_over(plan.stages, study, reused)
        terminal.say(f"{len(taken)} finished stages are taken over from {options.reuse}")
        for fault in faults:
            terminal.say(f"not taken over: {fault}")


def _stop(terminal: Terminal, reason: str) -> None:
    """Stop this run as a signal from outside would: running stages save a checkpoint, then the command ends."""
    terminal.say(reason)
    os.kill(os.getpid(), signal.SIGTERM)
