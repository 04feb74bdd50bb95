"""The steps of ``sweep.run``, in order: grid, inputs, plan, then print it or run it."""

from __future__ import annotations

import argparse
import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.driver import Driver
from sweep.estimate import cost
from sweep.grid import Grid
from sweep.inputs import Inputs, gather
from sweep.load import load_grid
from sweep.plan import Plan, identifier, make_plan, summary
from sweep.terminal import Terminal
from trainables.errors import UserError, nearest
from trainables.site import Site
from trainables.specs import Stage
from trainables.storage import Storage
from trainables.study import Study

DONE, FAILED, BAD_INPUT, HELD, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


def execute(arguments: argparse.Namespace) -> int:
    """Do what the command line asks; return the exit status."""
    terminal = Terminal()
    try:
        return _execute(arguments, terminal)
    except UserError as error:
        terminal.faults(error.faults)
        return BAD_INPUT


def _execute(arguments: argparse.Namespace, terminal: Terminal) -> int:
    grid = load_grid(arguments.grid, arguments.set)
    name = arguments.study or grid.file.study or Path(arguments.grid).stem
    storage = Storage(arguments.storage)
    study = Study(storage.child(name))
    with terminal.preparing() as progress:
        weights = Path(arguments.weights) if arguments.weights else None
        inputs = gather(grid, Path(arguments.data), weights, cache_folder(storage), progress)
    plan = make_plan(grid, inputs)
    _refuse_other_study(study, grid, inputs)
    if arguments.plan:
        _print_plan(terminal, plan, study, inputs, arguments.json)
        return DONE
    if inputs.missing:
        raise UserError([*inputs.missing, f"{len(inputs.missing)} inputs are missing or unusable: nothing was started"])
    with held(study, terminal) as holds:
        if not holds:
            return HELD
        _write_down(study, name, plan, inputs)
        if arguments.cell:
            return _run_alone(_find_stage(plan, arguments.cell), study, site_of(plan, inputs), terminal)
        return _run(plan, study, inputs, arguments.address, terminal)


def cache_folder(storage: Storage) -> Path:
    """Return where prepared data lie: beside the studies, or in the user's cache where those are on an object store."""
    return Path(storage.location) / ".cache" if storage.is_local else Path("~/.cache/scenario-sweep").expanduser()


def site_of(plan: Plan, inputs: Inputs) -> Site:
    """Return where the inputs lie on this machine."""
    return Site(
        {name: str(data.folder.absolute()) for name, data in inputs.data.items()},
        {file.sha256: str(file.path.absolute()) for file in inputs.weights.values()},
        plan.grid.file.keep_weights,
    )


def costs_of(plan: Plan, inputs: Inputs) -> dict[str, float]:
    """Return the work of each stage, by its key (or name)."""
    images = {}
    for split in inputs.splits.values():
        parts = split.table.column("split").to_pylist()
        folds = len(set(split.table.column("fold").to_pylist()))
        images[split.digest] = parts.count("train") // folds
    return {identifier(stage): cost(stage, images) for stage in plan.stages}


def _refuse_other_study(study: Study, grid: Grid, inputs: Inputs) -> None:
    header, target = study.header, grid.file.target
    if header is None or target not in inputs.data:
        return
    found = {"fingerprint": inputs.data[target].fingerprint, "split": inputs.splits[target].digest}
    what = {"fingerprint": f"the target data ({target})", "split": "the split"}
    faults = [
        f"the study {study.storage.path()} was made with {what[field]} {header[field][:16]}, the grid now gives {found[field][:16]}. A study has one; give --study another name"
        for field in what
        if header[field] != found[field]
    ]
    if faults:
        raise UserError(faults)


@contextmanager
def held(study: Study, terminal: Terminal) -> Iterator[bool]:
    """Hold the study, so that no two drivers run it; yields whether that was possible."""
    from filelock import FileLock, Timeout

    if not study.storage.is_local:
        yield True
        return
    folder = Path(study.storage.location)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".driver.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        terminal.faults(
            [f"the study {folder} is held by another driver on this machine or its network. Wait for it, or stop it"]
        )
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _write_down(study: Study, name: str, plan: Plan, inputs: Inputs) -> None:
    """Write what the study is, before anything runs in it."""
    target = plan.grid.file.target
    for split in inputs.splits.values():
        study.write_split(split.digest, split.table)
    if study.header is None:
        header = {
            "name": name,
            "uid": uuid.uuid4().hex,
            "target": target,
            "fingerprint": inputs.data[target].fingerprint,
            "split": inputs.splits[target].digest,
        }
        study.storage.write_json("study.json", header)
    study.storage.write("grid.yaml", plan.grid.resolved().encode())
    study.storage.write_json("plan.json", plan.document(name, inputs))
    study.write_problems(inputs.problems)


def _run(plan: Plan, study: Study, inputs: Inputs, address: str | None, terminal: Terminal) -> int:
    states = study.states()
    done = {str(stage.key) for stage in plan.stages if states.get(str(stage.key)[:16]) == "done"}
    _greet(terminal, plan, study, inputs, len(done))
    failed = 0
    if len(done) == len(plan.stages):
        terminal.say(f"nothing to do: all {len(done)} stages are done")
    else:
        stopped, failed = _run_stages(plan, study, inputs, done, address, terminal)
        if stopped:
            terminal.say(f"interrupted. Finished stages are kept; the same command goes on: {_again(study)}")
            return stopped
    _report(study, terminal)
    return FAILED if failed else DONE


def _run_stages(
    plan: Plan, study: Study, inputs: Inputs, done: set[str], address: str | None, terminal: Terminal
) -> tuple[int, int]:
    """Run what is not done; return the status of an interruption (0: none) and the number of failed stages."""
    from sweep.ray_session import ray_session

    costs = costs_of(plan, inputs)
    scores = {key: _val_score(study, plan, key) for key in done}
    threads = max(stage.recipe.threads for stage in plan.stages)
    with ray_session(address) as capacity:
        from sweep import tune

        slots = capacity.gpus or capacity.cpus // threads
        with terminal.watching(plan.stages, costs, scores, slots) as watch:
            driver = Driver(plan.stages, costs, study, site_of(plan, inputs), watch)
            with _interruptible(driver) as interruption:
                tune.run(driver, capacity, threads)
            driver.select()
    for error, stages in watch.errors.items():
        terminal.say(f"{len(stages)} failed with {error}")
        terminal.say(f"  log: {study.folder(stages[0]).path('log.txt')}")
        terminal.say(f"  alone: {_again(study)} --cell {str(stages[0].key)[:16]}")
    return interruption[0] if interruption else 0, len(
        [s for s in driver.states.values() if s in ("failed", "blocked")]
    )


@contextmanager
def _interruptible(driver: Driver) -> Iterator[list[int]]:
    """Turn the first Ctrl-C or SIGTERM into a clean stop; a second one ends at once. Yields the exit status, if any."""
    status: list[int] = []

    def stop(number: int, _: Any) -> None:
        if status:
            raise KeyboardInterrupt
        status.append(INTERRUPTED if number == signal.SIGINT else TERMINATED)
        driver.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield status
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_alone(stage: Stage, study: Study, site: Site, terminal: Terminal) -> int:
    """Run one stage in this process: the same function as in a sweep, and a debugger can follow it."""
    from trainables.stage import run_stage

    missing = [key for key in stage.upstream if study.states().get(key[:16]) != "done"]
    if missing:
        raise UserError(
            f"{stage.name} needs stages that are not done: {', '.join(key[:16] for key in missing)}. Run them first, with --cell"
        )
    for progress in run_stage(stage, study, site):
        terminal.say(
            f"epoch {progress.epoch} of {progress.epochs}: val F1 {progress.val_f1_macro:.3f}, {progress.images_per_second:.0f} images/s"
        )
    terminal.say(f"done: {study.folder(stage).path()}")
    return DONE


def _find_stage(plan: Plan, wanted: str) -> Stage:
    found = [
        stage
        for stage in plan.stages
        if wanted == stage.name or (len(wanted) >= 6 and str(stage.key).startswith(wanted))
    ]
    if len(found) != 1:
        hint = nearest(wanted, [stage.name for stage in plan.stages])
        raise UserError(f"--cell {wanted} names {len(found)} stages of this plan{hint}; --plan --json lists them")
    return found[0]


def _val_score(study: Study, plan: Plan, key: str) -> float | None:
    stage = next(stage for stage in plan.stages if stage.key == key)
    result = study.folder(stage).result()
    return result["metrics"].get("val_f1_macro") if result else None


def _greet(terminal: Terminal, plan: Plan, study: Study, inputs: Inputs, done: int) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in plan.counts().items())
    terminal.say(
        f"study {study.storage.path()}: {len(plan.stages)} stages ({kinds}), {done} done before; {plan.unshared} without sharing"
    )
    if inputs.problems:
        terminal.say(
            f"{len(inputs.problems)} problems in the data, named in {study.storage.path('data_problems.parquet')}"
        )
    planned = {stage.folder for stage in plan.stages}
    orphans = [folder.name for folder in study.folders() if folder.name not in planned]
    if orphans:
        terminal.say(f"{len(orphans)} stages belong to an earlier grid and are left alone, e.g. {orphans[0]}")


def _report(study: Study, terminal: Terminal) -> None:
    from analysis.report import build

    report = build(study)
    terminal.say(report.scores.to_markdown())
    for left_out in report.left_out:
        terminal.say(f"left out: {left_out.name}: {left_out.reason}")
    terminal.say(f"report: {report.index_path}")


def _again(study: Study) -> str:
    import shlex
    import sys

    return shlex.join(["python", "-m", "sweep.run", *sys.argv[1:]])


def _print_plan(terminal: Terminal, plan: Plan, study: Study, inputs: Inputs, as_json: bool) -> None:
    states = study.states()
    costs = costs_of(plan, inputs)
    rows = [
        {
            **summary(stage),
            "state": states.get(stage.key[:16], "waiting") if stage.key else "waiting",
            "gflop": costs[identifier(stage)],
        }
        for stage in plan.stages
    ]
    if as_json:
        document = plan.document(study.storage.path().rpartition("/")[2], inputs)
        terminal.raw(
            json.dumps({**document, "missing": inputs.missing, "unshared": plan.unshared, "stages": rows}, indent=1)
        )
        return
    from sweep.printing import plan_tables

    for table in plan_tables(plan, rows, inputs.missing):
        terminal.show(table)
