"""The steps of ``sweep.run``, in order: grid, inputs, plan; then print it, or run it."""

from __future__ import annotations

import argparse
import gc
import math
import os
import re
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sweep.commands.study_run import BAD_INPUT, DONE, FAILED, HELD, NO_CLUSTER, StudyRun, same_command
from sweep.cost.prices import load_prices
from sweep.cost.throughput_file import SPEEDS, read_speeds
from sweep.engine.capacity import too_wide_here
from sweep.engine.ray_session import ClusterError
from sweep.engine.run_limits import RunLimits
from sweep.engine.signals import SIGNALS, SignalHandler
from sweep.engine.study_lock import HeldError, study_lock
from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.grid.rehearsal import SUFFIX
from sweep.mirror.mode import MirrorOptions
from sweep.monitor.console import Terminal
from sweep.plan.inputs import Inputs, gather
from sweep.plan.plan import Plan, make_plan
from sweep.plan.reuse import take_over
from sweep.plan.stage_diff import stage_diff
from trainables.errors import StorageError, UserError
from trainables.hashing import short_key
from trainables.store import layout
from trainables.store.stage_lookup import find_planned
from trainables.store.storage import Storage, cache_folder
from trainables.store.study import Study

LEAST_HANG_TIMEOUT = 15.0
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def execute(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; return the exit status."""
    terminal = Terminal()
    with SignalHandler() as signal_handler:
        try:
            return _execute(arguments, terminal, signal_handler)
        except (KeyboardInterrupt, SystemExit) as error:  # while Ray starts, SIGTERM is a SystemExit of its own
            return _interrupted(
                terminal, signal_handler, signal.SIGTERM if isinstance(error, SystemExit) else signal.SIGINT
            )
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
            if signal_handler.status is None:
                raise
            return _interrupted(
                terminal, signal_handler
            )  # that came in the middle of an import in C, which failed of it


def _interrupted(terminal: Terminal, signal_handler: SignalHandler, number: signal.Signals = signal.SIGINT) -> int:
    """Say that the command was interrupted, and how it goes on; return the exit status."""
    terminal.say(f"interrupted. What is finished is kept; this goes on: {same_command()}")
    return signal_handler.status or SIGNALS[number]


def _execute(arguments: argparse.Namespace, terminal: Terminal, signal_handler: SignalHandler) -> int:
    begun = time.monotonic()
    asked, prices = _asked(arguments), load_prices(Path(arguments.prices) if arguments.prices else None)
    grid = replace(load_grid(arguments.grid, arguments.set), rehearsal=arguments.rehearse)
    name = _study_name(arguments.study or grid.file.study or Path(arguments.grid).stem)
    name += SUFFIX if arguments.rehearse else ""
    storage = Storage(arguments.storage)
    study, cache = Study(storage.child(name)), cache_folder(storage)
    grid = of_study(grid, study)
    with terminal.preparing() as progress, _few_collections():
        weights = Path(arguments.weights) if arguments.weights else None
        inputs = gather(grid, Path(arguments.data), weights, cache, progress)
        plan = make_plan(grid, inputs)
    for line in inputs.repaired:
        terminal.note(line)
    faults = _of_another_study(study, grid, inputs)
    if faults:
        raise UserError([*faults, *inputs.missing])
    if arguments.why:
        terminal.raw(stage_diff(plan, study, *arguments.why))
        return DONE
    if arguments.plan:
        from sweep.commands.plan_command import AssumedCluster, show_plan

        assumed = AssumedCluster(arguments.device, arguments.gpus, prices, read_speeds(cache / SPEEDS))
        show_plan(terminal, plan, study, name, inputs, assumed, arguments.json)
        if not arguments.json and not arguments.address and assumed.is_here and (stuck := _too_wide(plan)):
            terminal.say(f"\nnot on this machine: {stuck}")
        return DONE
    if inputs.missing:
        raise UserError([*inputs.missing, f"{len(inputs.missing)} inputs are missing or unusable: nothing was started"])
    if not arguments.cell and not arguments.address and (stuck := _too_wide(plan)):
        raise UserError(stuck)
    mirror = MirrorOptions(arguments.wandb, arguments.wandb_project, arguments.wandb_entity, arguments.wandb_images)
    launch = StudyRun(
        plan, study, inputs, terminal, signal_handler, asked, mirror, prices, cache / SPEEDS, begun, arguments.cluster
    )
    cell = find_planned(plan.stages, arguments.cell, "--cell") if arguments.cell else None
    with study_lock(study, lambda reason: _stop(terminal, reason)):
        try:
            _write_down(study, name, plan, inputs, _places(arguments))
        except OSError as error:
            raise UserError(
                f"cannot write to {study.storage.path()}: {error}. Give --storage a place that can"
            ) from error
        if arguments.reuse:
            _take_over(terminal, plan, study, arguments.reuse)
        try:
            return launch.one(cell) if cell else launch.all(arguments.address)
        except OSError as error:  # a full disk, a share that is gone: what stages meet there is told as theirs
            terminal.faults(
                [f"{study.storage.path()}: {error}. What is finished is kept; once that is mended: {same_command()}"]
            )
            return FAILED


def _stop(terminal: Terminal, reason: str) -> None:
    """Stop this run as a signal from outside would: stages under way are saved, or the command ends where none runs."""
    terminal.say(reason)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Within, garbage is looked for rarely: hundreds of thousands of images and stages are made, and none is dropped."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _too_wide(plan: Plan) -> str | None:
    return too_wide_here([stage.recipe.threads for stage in plan.stages])


def of_study(grid: Grid, study: Study) -> Grid:
    """Return the grid with the precision that the study was begun with: float32 before ``auto`` was known."""
    try:
        header = study.header
    except StorageError as error:  # now, before anything is prepared
        raise UserError(f"cannot read {study.storage.path(layout.STUDY)}: {error}. Nothing was started") from error
    except (OSError, ValueError):  # said, with a way out, by those that need it
        return grid
    return grid if header is None else replace(grid, kept_precision=header.get("precision", "float32"))


def _asked(arguments: argparse.Namespace) -> RunLimits:
    """Read the limits of the run. Raises UserError where one is none."""
    faults = []
    for name in ("max_cost", "price", "widest", "gpus"):
        if (value := getattr(arguments, name)) is not None and value <= 0:
            faults.append(f"--{name.replace('_', '-')} must be above 0, found {value:g}")
    times = {}
    for name in ("deadline", "checkpoint", "hang_timeout"):
        given, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", given or "")
        if match is not None:
            times[name] = float(match[1]) * UNITS[match[2]]
        elif given is not None:
            faults.append(f"{option} {given}: give seconds, or a number with m, h or d: 45m, 12h, 2d")
    if times.get("hang_timeout", math.inf) < LEAST_HANG_TIMEOUT:
        faults.append(
            f"--hang-timeout {arguments.hang_timeout}: at least {LEAST_HANG_TIMEOUT:g} s, for a stage gives a sign of life "
            "every 5 s, and a step or a batch may take longer"
        )
    if faults:
        raise UserError(faults)
    return RunLimits(
        arguments.fail_fast,
        times.get("deadline", math.inf),
        math.inf if arguments.max_cost is None else arguments.max_cost,
        arguments.price,
        times["hang_timeout"],
        arguments.widest,
        times["checkpoint"],
        arguments.allow_open_cluster,
    )


def _take_over(terminal: Terminal, plan: Plan, study: Study, other: str) -> None:
    taken, faults = take_over(plan.stages, study, Study.open(other))
    terminal.say(f"{len(taken)} finished stages are taken over from {other}")
    for fault in faults:
        terminal.say(f"not taken over: {fault}")


def _study_name(name: str) -> str:
    if "/" in name or "\\" in name or name.startswith(".") or not name.strip():
        raise UserError(f"{name!r} cannot name a study: it is one folder below --storage, without / and not hidden")
    return name


def _of_another_study(study: Study, grid: Grid, inputs: Inputs) -> list[str]:
    """Return what is wrong where the folder holds a study of other data or of another split."""
    target = grid.file.target
    try:
        header = study.header
    except (OSError, ValueError) as error:
        return [
            f"cannot read {study.storage.path(layout.STUDY)}: {error}. Mend that, or give another --storage or --study"
        ]
    if header is None or target not in inputs.data:
        return []
    found = {"fingerprint": inputs.data[target].fingerprint, "split": inputs.splits[target].digest}
    what = {"fingerprint": f"the target data ({target})", "split": "the split"}
    return [
        f"the study {study.storage.path()} was made with {what[field]} {short_key(header.get(field))}, the grid now gives "
        f"{short_key(found[field])}. A study has one; give --study another name"
        for field in what
        if header.get(field) != found[field]
    ]


def _places(arguments: argparse.Namespace) -> dict[str, str | None]:
    """Where the inputs lie: so that the command that runs one stage again can be told later."""
    given = {"data": arguments.data, "weights": arguments.weights}
    return {name: None if place is None else str(Path(place).absolute()) for name, place in given.items()}


def _write_down(study: Study, name: str, plan: Plan, inputs: Inputs, places: dict[str, str | None]) -> None:
    """Write what the study is, before anything runs in it."""
    target = plan.grid.file.target
    for split in inputs.splits.values():
        study.write_split(split.digest, split.table)
    if study.header is None:
        identity = {"name": name, "uid": uuid.uuid4().hex, "target": target}
        made_with = {"fingerprint": inputs.data[target].fingerprint, "split": inputs.splits[target].digest}
        made_with["precision"] = plan.grid.auto_precision
        study.storage.write_json(layout.STUDY, {**identity, **made_with})
    study.storage.write(layout.GRID, plan.grid.resolved().encode())
    study.storage.write_json(layout.PLAN, {**plan.document(name, inputs), "places": places})
    study.write_problems(inputs.problems)
