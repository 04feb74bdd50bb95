"""The work of a stage, from FLOPs, and its seconds, from measured throughput or, before any, an assumed one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sweep.schedule.parallelism import speedup
from trainables.models.complexity import gflops
from trainables.specs import Stage

if TYPE_CHECKING:  # importing these would delay a plan
    from sweep.grid.schema import GridFile
    from trainables.data.readers.data_spec import DataSpec
    from trainables.data.splits.splits import Split

BACKWARD = 3.0
"""FLOPs of a forward and a backward pass together, in forward passes: the backward pass is
taken as two (Kaplan et al., *Scaling laws for neural language models*, 2020, section 2.1)."""


class Published(NamedTuple):
    """Sizes of a published data set.

    Attributes:
        train: images that are divided into train, val and, of the target, test; of a set with a split of its own, its
            training images.
        images: in all.
        edge: of an image, pixels; None if they differ.
        own_parts: whether the set has a train and a validation part of its own.
    """

    train: int
    images: int
    edge: int | None
    own_parts: bool


PUBLISHED = {
    "bone_marrow": Published(171_373, 171_373, 250, own_parts=False),
    "pcam": Published(262_144, 327_680, 96, own_parts=True),
    "cats_vs_dogs": Published(25_000, 25_000, None, own_parts=False),
}
"""Reader -> sizes of its data set, for the estimates of a plan while the data are absent."""


def cost(stage: Stage, images: Mapping[str, int]) -> float:
    """Return the work of a stage in GFLOP (10^9 multiply-adds).

    Training: images × epochs × 3 forward passes. Range test: steps × (batch × 3 forward passes + 1 forward pass of the
    val images evaluated after each step).

    Args:
        stage: the stage.
        images: split digest, or name of a data set that is not at hand -> training images of a fold. One that is in
            neither form counts as 1 image: then only ratios mean something.
    """
    per_image = gflops(stage.model, stage.recipe.image_size)
    if stage.ramp is not None:
        evaluated = stage.ramp.val_images if stage.ramp.loss == "val" else 0
        return per_image * stage.ramp.steps * (BACKWARD * stage.recipe.batch_size + evaluated)
    count = images.get(stage.split or "", images.get(stage.data.name, 1))
    return BACKWARD * per_image * stage.recipe.epochs * count


def train_images(file: GridFile, splits: Mapping[str, Split]) -> dict[str, int]:
    """Return the training images of a fold of each data set: by split digest if it is at hand, else by name.

    Args:
        file: the grid.
        splits: data set -> its split, of those at hand. Of the others the published sizes count, if there are any.
    """
    counts: dict[str, int] = {}
    for name, spec in file.data.items():
        split, published = splits.get(name), PUBLISHED.get(spec.reader)
        if split is not None:
            counts[split.digest] = _in_train(split)
        elif published is not None:
            test = 1 / file.split.folds if name == file.target else 0.0
            val = 0.0 if published.own_parts and name != file.target else file.split.val_fraction
            counts[name] = round(published.train * (1 - test) * (1 - val))
    return counts


def packed_bytes(spec: DataSpec) -> int | None:
    """Return the bytes of a published data set's packed images; None if it is not published or its images differ in size."""
    published = PUBLISHED.get(spec.reader)
    edge = spec.size or (published.edge if published else None)
    return None if published is None or edge is None else published.images * edge * edge * 3


def _in_train(split: Split) -> int:
    """Training images of a fold, mean over the folds."""
    import pyarrow.compute as pc

    train = pc.sum(pc.equal(split.table.column("split"), "train")).as_py() or 0
    return round(train / max(1, len(pc.unique(split.table.column("fold")))))


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
        return work / self.assumed[stage.recipe.precision] if measured is None else measured

    def measured_seconds(self, stage: Stage, work: float) -> float | None:
        """Return the seconds that a stage takes on one worker, or None if its throughput was not measured.

        Args:
            stage: the stage.
            work: of it, GFLOP.
        """
        rate = self.speeds.rate(stage, self.devices)
        return None if rate is None else work / rate

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
