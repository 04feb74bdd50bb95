"""Seconds of stages, estimated from the throughput of this run and of earlier ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.cost.throughput import Estimator, RunThroughput
from sweep.cost.throughput_file import learn, read_speeds, write_speeds
from sweep.engine.callbacks import Callback
from sweep.schedule.parallelism import speedup
from trainables.specs import Stage


class Throughput(Callback):
    """A callback that measures throughput and keeps it in a file for later plans and runs."""

    def __init__(
        self,
        stages: Sequence[Stage],
        costs: Mapping[str, float],
        images: Mapping[str, int],
        num_workers: Mapping[str, int],
        devices: Sequence[str],
        file: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with what earlier runs measured.

        Args:
            stages: of the plan.
            costs: key -> work, GFLOP.
            images: split digest -> training images of a fold.
            num_workers: key -> workers, of the running stages; read when a stage starts.
            devices: names of the cluster's devices; measurements on others do not count.
            file: that keeps the measurements.
            clock: returns the time, seconds.
        """
        self._stages = {str(stage.key): stage for stage in stages}
        self._costs, self._images, self._num_workers = costs, images, num_workers
        self._file, self._now = file, clock
        self._speeds = read_speeds(file)
        own = [name for name in self._speeds.devices() if any(device in name for device in devices)]
        self._earlier_runs = Estimator({}, read_speeds(file), own)
        self._this_run = RunThroughput()
        self._begun: dict[str, tuple[float, int]] = {}
        self._images_per_second: dict[str, list[float]] = {}

    def seconds(self, key: str) -> float | None:
        """Return the seconds of a whole stage on one worker; None if nothing was measured.

        In this order count: this run's stages of its architecture, earlier runs' stages like it, this run's stages of
        other architectures.
        """
        stage, work = self._stages[key], self._costs[key]
        own = self._this_run.own_seconds(stage.architecture, work)
        if own is not None:
            return own
        earlier = self._earlier_runs.measured_seconds(stage, work)
        return self._this_run.seconds(stage.architecture, work) if earlier is None else earlier

    def started(self, stage: Stage, attempt: int) -> None:
        """Record the start of an attempt and its number of workers."""
        key = str(stage.key)
        self._begun[key] = (self._now(), self._num_workers.get(key, 1))
        self._images_per_second[key] = []

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Record the images per second of a whole epoch, its validation included."""
        seconds = (progress.get("metrics") or {}).get("seconds")
        if seconds and stage.kind != "lr_range":
            self._images_per_second[str(stage.key)].append(self._images.get(str(stage.split), 0) / seconds)

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Add a stage that is done. If it was resumed from a checkpoint it took longer than this attempt."""
        key = str(stage.key)
        began, num_workers = self._begun.pop(key, (self._now(), 1))
        seconds = max(self._now() - began, float(result.get("seconds", 0.0)))
        self._this_run.add(stage.architecture, self._costs[key], seconds * speedup(num_workers))
        if images_per_second := self._images_per_second.pop(key, []):
            learn(self._speeds, stage, result, images_per_second)
            write_speeds(self._file, self._speeds)

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Forget an attempt that failed."""
        self._begun.pop(str(stage.key), None)
        self._images_per_second.pop(str(stage.key), None)
