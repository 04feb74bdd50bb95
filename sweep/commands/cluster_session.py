"""The stages of a study on a Ray cluster: driver, capacity and callbacks are put together here, and run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

from sweep.commands.cluster_shape import ClusterShape
from sweep.commands.exit_status import DONE, FAILED, STOPPED
from sweep.commands.preparation import PreparedStudy
from sweep.commands.run_messages import print_failures, print_not_started, same_command
from sweep.commands.run_options import RunOptions
from sweep.commands.runtime_context import cluster_runtime, local_runtime
from sweep.commands.study_run import Scores
from sweep.cost.prices import PriceTable
from sweep.cost.throughput_file import SPEEDS
from sweep.cost.work import train_images
from sweep.engine.autoscaling import autoscaling_limit
from sweep.engine.budget_tracker import BudgetTracker
from sweep.engine.callbacks import CallbackList
from sweep.engine.capacity import ClusterCapacity
from sweep.engine.driver import Driver
from sweep.engine.ray_session import ClusterResources
from sweep.engine.signals import SignalHandler
from sweep.engine.trial_request import TrialOptions
from sweep.mirror.mode import decide, stagger_seconds
from sweep.mirror.settings import MirrorSettings
from sweep.monitor.console import Terminal
from sweep.monitor.live_view import LiveView
from sweep.monitor.progress_stats import ProgressStats
from sweep.monitor.running_file import Heartbeat
from sweep.monitor.throughput_callback import Throughput
from sweep.schedule.scheduler import Scheduler


@dataclass
class ClusterSession:
    """Runs the stages that are not done in one Ray Tune experiment.

    Attributes:
        prepared: the study and its plan.
        options: of the run.
        prices: of devices.
        terminal: shows the stages that run.
        signals: stops the driver on Ctrl-C or SIGTERM.
        begun: when the command began, by ``time.monotonic``: the deadline counts from then.
        worker_seconds: seconds that workers were given to stages so far, by all calls of ``run``.
    """

    prepared: PreparedStudy
    options: RunOptions
    prices: PriceTable
    terminal: Terminal
    signals: SignalHandler
    begun: float
    worker_seconds: float = 0.0

    def run(self, scores: Scores) -> int:
        """Run every stage that is not done; return the exit status.

        Args:
            scores: of the stages that are done.

        Raises:
            KeyboardInterrupt: if a signal stopped the run.
            UserError: if there is no such cluster, if it has no room for a stage, or no price where money is limited.
            ClusterError: if Ray does not start.
        """
        study, stages, inputs = self.prepared.study, self.prepared.plan.stages, self.prepared.inputs
        file, limits = self.prepared.plan.grid.file, self.options.limits
        costs = inputs.costs(stages, file)
        mirror = decide(self.options.mirror, study, self.terminal.say)
        with ExitStack() as stack:
            shape = self._connect(stack)
            from sweep.engine import tune_backend

            tasks, callbacks = shape.tasks(stages, costs, limits.widest), CallbackList()
            scheduler = Scheduler(tasks, scores, fail_fast=limits.fail_fast)
            driver = self._driver(scheduler, callbacks, shape, mirror)
            images, speeds = train_images(file, inputs.splits), self.prepared.cache / SPEEDS
            throughput = Throughput(stages, costs, images, driver.at_work, shape.devices, speeds)
            capacity = ClusterCapacity(shape.capacity, shape.worker, largest=shape.slots)
            limits = shape.priced(limits, self.prices)
            budget = BudgetTracker(capacity, driver, limits, throughput.seconds, self.begun, self.worker_seconds)
            unit = "GPUs" if shape.worker.gpus else "workers"
            stats = ProgressStats(driver, budget, tasks, throughput.seconds, unit)
            live_view = stack.enter_context(self.terminal.live_view(stages, scores, stats.snapshot))
            heartbeat = Heartbeat(study, stats.snapshot)
            stack.callback(heartbeat.end)
            callbacks.add(throughput, stats, live_view, heartbeat)
            self.signals.guard(driver)
            tune_backend.run(driver, capacity, budget)
            self.worker_seconds = budget.worker_seconds()
        return self._conclude(driver, scheduler, live_view)

    def _connect(self, stack: ExitStack) -> ClusterShape:
        """Start Ray on this machine, or join a cluster, until the stack is closed."""
        from sweep.cluster.nodes.node_health import require_healthy
        from sweep.engine.ray_session import ray_session

        address = self.options.cluster.address
        with self.signals.deferred():
            capacity = stack.enter_context(ray_session(address, self.options.limits.allow_open))
            if address is not None:
                require_healthy(self.prepared.study.storage.location)
        limit = autoscaling_limit(self.options.cluster.file) if address else ClusterResources(())
        return ClusterShape.of(capacity, limit, max(stage.recipe.threads for stage in self.prepared.plan.stages))

    def _driver(
        self, scheduler: Scheduler, callbacks: CallbackList, shape: ClusterShape, mirror: MirrorSettings | None
    ) -> Driver:
        study, stages, checkpoint = self.prepared.study, self.prepared.plan.stages, self.options.limits.checkpoint
        if self.options.cluster.address:
            runtime = cluster_runtime(self.prepared, checkpoint, self.terminal)
        else:
            runtime = local_runtime(self.prepared, checkpoint)
        settings = None
        if mirror is not None:
            settings = replace(mirror, stagger_seconds=stagger_seconds(mirror, shape.slots)).document()
        return Driver(scheduler, stages, study, runtime, callbacks, TrialOptions(shape.worker, settings))

    def _conclude(self, driver: Driver, scheduler: Scheduler, live_view: LiveView) -> int:
        """Say what failed and what is left; return the exit status."""
        say = self.terminal.say
        print_failures(self.terminal, self.prepared.study, live_view.errors.values())
        print_not_started(self.terminal, self.prepared.plan.stages, scheduler.stopped_by)
        if self.signals.status is not None:
            raise KeyboardInterrupt
        for reason in (driver.halted, driver.limit):
            if reason is not None:
                say(f"stopped: {reason}")
        left = [state for state in driver.states.values() if state != "done"]
        if left:
            say(f"{len(left)} stages are left; what is finished is kept; this goes on: {same_command()}")
        if {"failed", "blocked"} & set(driver.states.values()):
            return FAILED
        return STOPPED if left else DONE
