"""How quick a run is: measured from the stages that end, and from the speeds that earlier runs left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.cost.estimator import Estimator, RunThroughput
from sweep.cost.throughput_file import learn, read_speeds, write_speeds
from sweep.engine.callbacks import Callback
from sweep.schedule.parallelism import speedup
from trainables.specs import Stage


class Throughput(Callback):
    """A watcher that measures, and keeps the speeds of devices for the plans of later runs."""

    def __init__(
        self,
        stages: Sequence[Stage],
        costs: Mapping[str, float],
        images: Mapping[str, int],
        widths: Mapping[str, int],
        devices: Sequence[str],
        file: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with what earlier runs measured.

        Args:
            stages: of the plan.
            costs: work of each, GFLOP, by key.
            images: training images of a fold, by split digest.
            widths: workers of each stage that runs; looked at when one begins.
            devices: what the cluster's devices are called; what was measured on others does not count.
            file: keeps the speeds.
            clock: tells the time, seconds.
        """
        self._stages = {str(stage.key): stage for stage in stages}
        self._costs, self._images, self._widths = costs, images, widths
        self._file, self._now = file, clock
        self._speeds = read_speeds(file)
        own = [called for called in self._speeds.devices() if any(device in called for device in devices)]
        self._before = Estimator({}, read_speeds(file), own)
        self._clock = RunThroughput()
        self._begun: dict[str, tuple[float, int]] = {}
        self._images_per_second: dict[str, list[float]] = {}

    def seconds(self, key: str) -> float | None:
        """Return how long a stage takes in all on one worker; None while nothing is known of anything like it.

        What this run measured of its architecture counts most, then what earlier runs did, then what this run measured
        of the other architectures.
        """
        stage, work = self._stages[key], self._costs[key]
        own = self._clock.own_seconds(stage.architecture, work)
        if own is not None:
            return own
        before = self._before.measured_seconds(stage, work)
        return self._clock.seconds(stage.architecture, work) if before is None else before

    def started(self, stage: Stage, attempt: int) -> None:
        """Note when an attempt began, and how wide."""
        key = str(stage.key)
        self._begun[key] = (self._now(), self._widths.get(key, 1))
        self._images_per_second[key] = []

    def progressed(self, stage: Stage, progress: Mapping[str, Any]) -> None:
        """Note how many images a second a whole epoch came to, with the look at its val part."""
        seconds = (progress.get("metrics") or {}).get("seconds")
        if seconds and stage.kind != "lr_range":
            self._images_per_second[str(stage.key)].append(self._images.get(str(stage.split), 0) / seconds)

    def finished(self, stage: Stage, result: Mapping[str, Any]) -> None:
        """Learn from a stage that is done. One that went on from a checkpoint took longer than this attempt."""
        key = str(stage.key)
        began, width = self._begun.pop(key, (self._now(), 1))
        seconds = max(self._now() - began, float(result.get("seconds", 0.0)))
        self._clock.measured(stage.architecture, self._costs[key], seconds * speedup(width))
        if images_per_second := self._images_per_second.pop(key, []):
            learn(self._speeds, stage, result, images_per_second)
            write_speeds(self._file, self._speeds)

    def failed(self, stage: Stage, error: str, again: bool, blocked: Sequence[Stage]) -> None:
        """Forget an attempt that failed."""
        self._begun.pop(str(stage.key), None)
        self._images_per_second.pop(str(stage.key), None)
