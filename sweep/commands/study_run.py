"""Running a plan: what is not done yet in one Ray Tune experiment, or one stage alone."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cost.estimator import train_images
from sweep.cost.prices import PriceTable
from sweep.engine.autoscaling import autoscaling_limit
from sweep.engine.budget_tracker import BudgetTracker
from sweep.engine.callbacks import CallbackList
from sweep.engine.capacity import ClusterCapacity, too_wide_message, worker_shape
from sweep.engine.capacity import slots as slots_of
from sweep.engine.driver import Driver
from sweep.engine.ray_session import ClusterResources
from sweep.engine.run_limits import RunLimits
from sweep.engine.signals import SignalHandler
from sweep.engine.trial_request import TrialOptions
from sweep.mirror.mode import MirrorOptions, decide, stagger_seconds
from sweep.mirror.worker import Mirror
from sweep.monitor.console import Terminal
from sweep.monitor.live_view import LiveView
from sweep.monitor.progress_stats import ProgressStats
from sweep.monitor.running_file import Heartbeat
from sweep.monitor.throughput import Throughput
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from sweep.plan.reconcile import stale
from sweep.schedule.parallelism import too_wide, widest
from sweep.schedule.scheduler import Scheduler, Task
from trainables.errors import UserError
from trainables.hashing import short_key
from trainables.runtime import RuntimeContext, Workers
from trainables.specs import Stage
from trainables.store import layout
from trainables.store.node_inputs import offer_data, offer_weights
from trainables.store.selection import selection_table
from trainables.store.storage import PREPARED, Storage, node_cache
from trainables.store.study import Study

if TYPE_CHECKING:
    from analysis.page.build import Report
    from analysis.results.collect import LeftOut

MIRROR_SECONDS = 30.0
"""A stage that runs alone waits at the end at most so long for what W&B is still to be told."""
DONE, FAILED, BAD_INPUT, HELD, NO_CLUSTER, STOPPED = 0, 1, 2, 3, 4, 130
"""Exit status of ``sweep.run``, beside those of an interruption: part of its contract."""


@dataclass
class StudyRun:
    """A plan with all that running it needs.

    Attributes:
        cluster: a file that says what the cluster may grow to; None: the one on its head, if there is one.
        begun: when the command began, by ``time.monotonic``: the deadline counts from then.
        worker_seconds: that were used so far.
    """

    plan: Plan
    study: Study
    inputs: Inputs
    terminal: Terminal
    signal_handler: SignalHandler
    asked: RunLimits
    mirror: MirrorOptions
    prices: PriceTable
    speeds_file: Path
    begun: float
    cluster: str | None = None
    worker_seconds: float = 0.0

    @cached_property
    def runtime(self) -> RuntimeContext:
        """Where the inputs lie on this machine."""
        return RuntimeContext(
            {name: str(data.folder.absolute()) for name, data in self.inputs.data.items()},
            {file.sha256: str(file.path.absolute()) for file in self.inputs.weights.values()},
            self.plan.grid.file.keep_weights,
            self.asked.checkpoint,
            # An object store is far: between two checkpoints there, more lie on the node's own disk.
            scratch=None if self.study.storage.is_local else str(node_cache() / "checkpoints"),
        )

    def _site_of_cluster(self) -> RuntimeContext:
        """The same for nodes that do not see this machine's disks: what they need is put on the storage."""
        depot = Storage(self.study.storage.above).child(PREPARED)
        sent = [
            file.path.name
            for file in self.inputs.weights.values()
            if offer_weights(depot, file.sha256, file.path.absolute())
        ]
        if not depot.is_local:  # otherwise they lie there already
            sent += [name for name, data in self.inputs.data.items() if offer_data(depot, data.folder)]
        if sent:
            self.terminal.say(f"sent to {depot.path()} for the nodes: {', '.join(dict.fromkeys(sent))}")
        return replace(self.runtime, depot=depot.location)

    def all(self, address: str | None) -> int:
        """Run every stage that is not done; what turns out to be unreliable is done again. Return the exit status."""
        scores = self._scores_of_done()
        self._greet(len(scores))
        if len(scores) == len(self.plan.stages):
            self.terminal.say(f"nothing to do: all {len(scores)} stages are done")
        status, report = self._pass(scores, address)
        if status in (DONE, FAILED) and (retired := self._retire(report)):
            self.terminal.say(f"{len(retired)} results cannot be relied on and are done again")
            status, report = self._pass(self._scores_of_done(), address)
        return FAILED if self._show(report) else status

    def _pass(self, scores: dict[str, float | None], address: str | None) -> tuple[int, Report]:
        """Run what is not done, then write the report."""
        from analysis.page.build import build

        status = self._run(scores, address) if len(scores) < len(self.plan.stages) else DONE
        report = build(self.study)
        self.study.storage.write_table(layout.SELECTION, selection_table(report.choices))
        return status, report

    def _retire(self, report: Report) -> list[LeftOut]:
        """Take back the results that analysis refuses: torn, changed, stale, or of damaged files."""
        stages = {stage.key: stage for stage in self.plan.stages}
        refused = [left_out for left_out in report.left_out if left_out.state == "refused"]
        for left_out in refused:
            self.terminal.say(f"does not count: {left_out.name}: {left_out.reason}")
            self.study.folder(stages[left_out.key]).retire(left_out.reason)
        return refused

    def one(self, stage: Stage) -> int:
        """Run one stage in this process: the same function as in a sweep, and a debugger can follow it.

        Raises:
            UserError: if what it needs is not done.
        """
        from trainables.stage.run import run_stage

        states = self.study.states()
        lacking = [short_key(key) for key in stage.upstream if states.get(short_key(key)) != "done"]
        if lacking:
            raise UserError(
                f"{stage.name} needs stages that are not done: run --cell {', --cell '.join(lacking)} first"
            )
        settings = decide(self.mirror, self.study, self.terminal.say)
        mirror = Mirror()
        mirror.begin(settings.document() if settings else None, self.study.storage.location, stage, self.runtime)
        try:
            for progress in run_stage(stage, self.study, self.runtime):
                mirror.epoch(progress.shown)
                if shown := progress.shown:
                    self.terminal.say(
                        f"epoch {progress.epoch:g} of {progress.epochs}: val F1 {shown['val_f1_macro']:.3f}, "
                        f"{shown['images_per_second']:.0f} images/s"
                    )
        except Exception as error:
            mirror.end("failed", type(error).__name__)
            if sys.gettrace() is not None:  # a debugger wants to see it
                raise
            self.terminal.faults(
                [f"{type(error).__name__}: {error}", f"log: {self.study.folder(stage).path(layout.LOG)}"]
            )
            return FAILED
        finally:
            mirror.end("done" if self.study.folder(stage).result() else "stopped")
            mirror.close(MIRROR_SECONDS)
        self.terminal.say(f"done: {self.study.folder(stage).path()}")
        return DONE

    def _run(self, scores: dict[str, float | None], address: str | None) -> int:
        from sweep.cluster.nodes.node_health import require_healthy
        from sweep.engine.ray_session import ray_session

        costs = self.inputs.costs(self.plan.stages, self.plan.grid.file)
        mirror = decide(self.mirror, self.study, self.terminal.say)
        with ExitStack() as stack:
            with self.signal_handler.deferred():
                capacity = stack.enter_context(ray_session(address, self.asked.allow_open))
                if address is not None:
                    require_healthy(self.study.storage.location)
            from sweep.engine import tune_backend

            now, largest = capacity(), autoscaling_limit(self.cluster) if address else ClusterResources(())
            worker = worker_shape(now + largest, max(stage.recipe.threads for stage in self.plan.stages))
            slots = max(slots_of(now, worker), slots_of(largest, worker))
            tasks, devices = self._tasks(costs, slots, worker), (now + largest).devices
            runtime = self._site_of_cluster() if address else self.runtime
            asked = replace(self.asked, price=self._price(devices))
            told = replace(mirror, stagger_seconds=stagger_seconds(mirror, slots)).document() if mirror else None
            schedule, watchers = Scheduler(tasks, scores, fail_fast=asked.fail_fast), CallbackList()
            options = TrialOptions(worker, told)
            driver = Driver(schedule, self.plan.stages, self.study, runtime, watchers, options)
            images = train_images(self.plan.grid.file, self.inputs.splits)
            pace = Throughput(self.plan.stages, costs, images, driver.at_work, devices, self.speeds_file)
            cluster = ClusterCapacity(capacity, worker, largest=slots)
            budget = BudgetTracker(cluster, driver, asked, pace.seconds, self.begun, self.worker_seconds)
            progress_stats = ProgressStats(driver, budget, tasks, pace.seconds, "GPUs" if worker.gpus else "workers")
            watch = stack.enter_context(self.terminal.watching(self.plan.stages, scores, progress_stats.snapshot))
            heartbeat = Heartbeat(self.study, progress_stats.snapshot)
            stack.callback(heartbeat.end)
            watchers.add(pace, progress_stats, watch, heartbeat)
            self.signal_handler.guard(driver)
            tune_backend.run(driver, cluster, budget)
            self.worker_seconds = budget.worker_seconds()
        self._tell_failures(watch)
        self._tell_stopped(schedule)
        return self._status(driver)

    def _price(self, devices: Sequence[str]) -> float:
        """Return what one worker costs for one hour: as asked, or by the price table.

        Raises:
            UserError: if money is limited and nothing is known of what a worker costs.
        """
        price = self.asked.price or self.prices.price(devices)
        if not price and math.isfinite(self.asked.max_cost):
            raise UserError(
                f"--max-cost wants to know what a worker costs, and the price table has no price above 0 for "
                f"{', '.join(devices) or 'this cluster'}: give --price, e.g. --price 1.0 for a GPU-hour, or --prices FILE"
            )
        return price

    def _tasks(self, costs: Mapping[str, float], slots: int, worker: Workers) -> list[Task]:
        """What the schedule knows of the stages.

        Raises:
            UserError: if a stage is wider than the cluster.
        """
        most = self.asked.widest or (slots if worker.gpus else 1)  # on CPUs a narrow stage is quicker to start
        widths = {str(s.key): 1 if s.kind == "lr_range" else widest(s.recipe, most) for s in self.plan.stages}
        tasks = [Task(str(s.key), s.upstream, costs[str(s.key)], widths[str(s.key)]) for s in self.plan.stages]
        if stuck := too_wide(tasks, slots):
            raise UserError(too_wide_message(len(stuck), worker))
        return tasks

    def _tell_stopped(self, schedule: Scheduler) -> None:
        """Say how many stages a limit kept from starting, and the reason of the first."""
        stopped = schedule.stopped_by
        names = {str(stage.key): stage.name for stage in self.plan.stages}
        for key, reason in list(stopped.items())[:1]:
            self.terminal.say(f"not started, for the limits: {len(stopped)} stages, e.g. {names[key]}: {reason}")

    def _status(self, driver: Driver) -> int:
        if self.signal_handler.status is not None:
            raise KeyboardInterrupt
        for reason in (driver.halted, driver.limit):
            if reason is not None:
                self.terminal.say(f"stopped: {reason}")
        left = [state for state in driver.states.values() if state != "done"]
        if left:
            self.terminal.say(f"{len(left)} stages are left; what is finished is kept; this goes on: {same_command()}")
        if {"failed", "blocked"} & set(driver.states.values()):
            return FAILED
        return STOPPED if left else DONE

    def _scores_of_done(self) -> dict[str, float | None]:
        """The val score of each stage that is done, by key."""
        results = self.study.committed(self.plan.stages)
        by_key = {str(stage.key): stage for stage in self.plan.stages}
        for key in stale(self.plan.stages, results):
            self.terminal.say(f"stale, and done again: {by_key[key].name}: what it was made from has changed since")
            self.study.folder(by_key[key]).retire("stale: what it was made from has changed since")
            del results[key]
        return {key: result.get("metrics", {}).get("val_f1_macro") for key, result in results.items()}

    def _greet(self, done: int) -> None:
        say, study = self.terminal.say, self.study
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.plan.counts().items())
        say(f"study {study.storage.path()}")
        say(f"{len(self.plan.stages)} stages ({kinds}; {self.plan.unshared} without sharing), {done} done before")
        if self.inputs.problems:
            say(f"{len(self.inputs.problems)} problems in the data: {study.storage.path(layout.DATA_PROBLEMS)}")
        planned = {stage.folder for stage in self.plan.stages}
        others = [folder.name for folder in study.folders() if folder.name not in planned]
        if others:
            say(f"{len(others)} stages belong to an earlier grid and are left alone, e.g. {others[0]}")

    def _tell_failures(self, watch: LiveView) -> None:
        for error, stages in watch.errors.values():
            self.terminal.say(f"{len(stages)} failed with {error}")
            self.terminal.say(f"  log: {self.study.folder(stages[0]).path(layout.LOG)}")
            self.terminal.say(f"  alone: {same_command()} --cell {short_key(stages[0].key)}")

    def _show(self, report: Report) -> bool:
        """Show the table; say whether a result in it cannot be relied on even so."""
        from analysis.formats.markdown import plain_text

        self.terminal.say(plain_text(report.scores))
        refused = [left_out for left_out in report.left_out if left_out.state == "refused"]
        for left_out in refused:
            self.terminal.say(f"does not count: {left_out.name}: {left_out.reason}")
        self.terminal.say(f"report: {report.index_path}")
        return bool(refused)


def same_command() -> str:
    """Return the command line of this run, to be given again."""
    return shlex.join(["python", "-m", "sweep.run", *sys.argv[1:]])
