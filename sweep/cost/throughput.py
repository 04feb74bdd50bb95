"""Seconds of stages: their work divided by a measured throughput or, before any is measured, an assumed one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.cost.work import BACKWARD
from sweep.schedule.parallelism import speedup
from trainables.models.complexity import gflops
from trainables.specs import Stage

STAGE_SECONDS = 0.3
"""Of a stage outside its epochs: its turn, its network and initial weights, its files (docs/performance.md)."""


class MeasuredThroughput:
    """Measured GFLOP/s of one worker, for each network, image size, precision and device.

    Networks differ in the share of a processor's peak that they reach, so each has a rate of its own.
    """

    def __init__(self, table: Mapping[str, float] | None = None) -> None:
        """Begin with what ``table`` returned in an earlier run."""
        self._rates: dict[str, list[float]] = {name: [rate] for name, rate in (table or {}).items()}

    def add(self, stage: Stage, device: str, images_per_second: float, num_workers: int = 1) -> None:
        """Add a measured throughput.

        Args:
            stage: that was trained.
            device: ``environment.device`` of its result.
            images_per_second: of all workers together.
            num_workers: number of workers.
        """
        if images_per_second > 0:
            work = BACKWARD * gflops(stage.model, stage.recipe.image_size)
            rates = self._rates.setdefault(_name(stage, device), [])
            rates.append(work * images_per_second / speedup(num_workers))

    def rate(self, stage: Stage, devices: Iterable[str]) -> float | None:
        """Return the measured GFLOP/s of one worker, mean over all measurements; None if there are none.

        Args:
            stage: whose network, image size and precision count.
            devices: names of the devices of one kind.
        """
        rates = [rate for device in devices for rate in self._rates.get(_name(stage, device), ())]
        return sum(rates) / len(rates) if rates else None

    def table(self) -> dict[str, float]:
        """Return the mean rates as plain values, for a file."""
        return {name: sum(self._rates[name]) / len(self._rates[name]) for name in sorted(self._rates)}

    def devices(self) -> list[str]:
        """Return the names of the devices that were measured."""
        return list(dict.fromkeys(name.partition(ON)[2] for name in self._rates))


ON = " on "


def _name(stage: Stage, device: str) -> str:
    recipe = stage.recipe
    threads = f" {recipe.threads} threads" if device.startswith("cpu") else ""  # the threads of a worker
    return f"{stage.model.model} {recipe.image_size} px {recipe.precision}{threads}{ON}{device}"


@dataclass(frozen=True)
class Estimator:
    """Turns work into seconds, on one kind of device.

    Attributes:
        assumed: precision -> assumed GFLOP/s, for stages that were not measured.
        speeds: measured ones.
        devices: names in ``speeds`` of devices of this kind.
    """

    assumed: Mapping[str, float]
    speeds: MeasuredThroughput
    devices: Sequence[str] = ()

    def seconds(self, stage: Stage, work: float) -> float:
        """Return the seconds that a stage takes on one worker, measured or else assumed.

        Args:
            stage: the stage.
            work: of it, GFLOP.
        """
        measured = self.measured_seconds(stage, work)
        return STAGE_SECONDS + work / self.assumed[stage.recipe.precision] if measured is None else measured

    def measured_seconds(self, stage: Stage, work: float) -> float | None:
        """Return the seconds that a stage takes on one worker, or None if its throughput was not measured.

        Args:
            stage: the stage.
            work: of it, GFLOP.
        """
        rate = self.speeds.rate(stage, self.devices)
        return None if rate is None else STAGE_SECONDS + work / rate

    def is_measured(self, stage: Stage) -> bool:
        """Return whether the throughput of a stage was measured."""
        return self.speeds.rate(stage, self.devices) is not None


class RunThroughput:
    """Turns work into seconds, by the stages of this run that are done.

    Each architecture has a rate of its own once one of its stages is done; until then it has the mean over all.
    """

    def __init__(self) -> None:
        self._work: dict[str, float] = defaultdict(float)
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, architecture: str, work: float, seconds: float) -> None:
        """Add a stage that is done.

        Args:
            architecture: its network.
            work: GFLOP.
            seconds: it took, or would have taken, on one worker.
        """
        self._work[architecture] += work
        self._seconds[architecture] += seconds

    def own_seconds(self, architecture: str, work: float) -> float | None:
        """Return seconds on one worker, or None while no stage of the architecture is done.

        Args:
            architecture: of the work.
            work: GFLOP.
        """
        if not self._work.get(architecture):
            return None
        return work * self._seconds[architecture] / self._work[architecture]

    def seconds(self, architecture: str, work: float) -> float | None:
        """Return seconds on one worker, by the mean over all architectures if need be; None while no stage is done.

        Args:
            architecture: of the work.
            work: GFLOP.
        """
        own, total = self.own_seconds(architecture, work), sum(self._work.values())
        if own is not None or not total:
            return own
        return work * sum(self._seconds.values()) / total
