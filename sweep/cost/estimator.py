"""How much work a stage is, from FLOPs; and how long it takes, from what was measured or, until then, assumed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sweep.schedule.parallelism import speedup
from trainables.models.complexity import gflops
from trainables.specs import Stage

if TYPE_CHECKING:  # for these a plan would wait
    from sweep.grid.schema import GridFile
    from trainables.data.readers.data_spec import DataSpec
    from trainables.data.splits.splits import Split

BACKWARD = 3.0
"""Forward and backward pass together, in forward passes."""


class Published(NamedTuple):
    """What is known of a published data set before it is at hand.

    Attributes:
        train: images that are divided into train, val and, in the target, test; of a set with parts of its own, train.
        images: in all.
        edge: of an image as published, pixels; None where they differ.
        own_parts: whether the set itself says which images are train and which val.
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
"""Reader -> what its data set holds as published: so that a plan has an estimate with the data absent."""


def cost(stage: Stage, images: Mapping[str, int]) -> float:
    """Return the work of a stage in GFLOP (multiply-adds, 10^9).

    Training: images × epochs × three forward passes. A range test: steps × (a batch × three passes, and one pass
    of the val images that are looked at after each step).

    Args:
        stage: the stage.
        images: training images of a fold: by split digest, or by the name of the data set where that is not at hand
            (absent: 1, so that only ratios count).
    """
    per_image = gflops(stage.model, stage.recipe.image_size)
    if stage.ramp is not None:
        watched = stage.ramp.val_images if stage.ramp.loss == "val" else 0
        return per_image * stage.ramp.steps * (BACKWARD * stage.recipe.batch_size + watched)
    count = images.get(stage.split or "", images.get(stage.data.name, 1))
    return BACKWARD * per_image * stage.recipe.epochs * count


def train_images(file: GridFile, splits: Mapping[str, Split]) -> dict[str, int]:
    """Return the training images of a fold of each data set: by split digest where it is at hand, else by name.

    Args:
        file: the grid.
        splits: data set -> its split, of those at hand. For the others the published size serves, if there is one.
    """
    counts: dict[str, int] = {}
    for name, spec in file.data.items():
        split, published = splits.get(name), PUBLISHED.get(spec.reader)
        if split is not None:
            counts[split.digest] = _in_train(split)
        elif published is not None:
            tested = 1 / file.split.folds if name == file.target else 0.0
            watched = 0.0 if published.own_parts and name != file.target else file.split.val_fraction
            counts[name] = round(published.train * (1 - tested) * (1 - watched))
    return counts


def packed_bytes(spec: DataSpec) -> int | None:
    """Return the bytes of a data set's packed images as published; None: it is not published, or not of one size."""
    published = PUBLISHED.get(spec.reader)
    edge = spec.size or (published.edge if published else None)
    return None if published is None or edge is None else published.images * edge * edge * 3


def _in_train(split: Split) -> int:
    """Training images of a fold, the mean over the folds."""
    import pyarrow.compute as pc

    train = pc.sum(pc.equal(split.table.column("split"), "train")).as_py() or 0
    return round(train / max(1, len(pc.unique(split.table.column("fold")))))


class MeasuredThroughput:
    """Work per second of one worker, as measured: for each architecture, image size, precision and device.

    Networks differ in how near they come to a processor's peak, so each has a rate of its own once it was seen.
    """

    def __init__(self, table: Mapping[str, float] | None = None) -> None:
        """Begin with what ``table`` returned earlier."""
        self._rates: dict[str, list[float]] = {name: [rate] for name, rate in (table or {}).items()}

    def measured(self, stage: Stage, device: str, images_per_second: float, width: int = 1) -> None:
        """Take in how many images a second were trained.

        Args:
            stage: what was trained.
            device: as a result's ``environment.device`` says.
            images_per_second: of all workers together.
            width: number of workers.
        """
        if images_per_second > 0:
            work = BACKWARD * gflops(stage.model, stage.recipe.image_size)
            rates = self._rates.setdefault(_name(stage, device), [])
            rates.append(work * images_per_second / speedup(width))

    def rate(self, stage: Stage, devices: Iterable[str]) -> float | None:
        """Return the GFLOP/s at which devices of one kind do a stage's work; None while that was not measured."""
        rates = [rate for device in devices for rate in self._rates.get(_name(stage, device), ())]
        return sum(rates) / len(rates) if rates else None

    def table(self) -> dict[str, float]:
        """Return the mean rates as plain values, to be kept in a file."""
        return {name: sum(self._rates[name]) / len(self._rates[name]) for name in sorted(self._rates)}

    def devices(self) -> list[str]:
        """Return the devices that something was measured on."""
        return list(dict.fromkeys(name.partition(ON)[2] for name in self._rates))


ON = " on "


def _name(stage: Stage, device: str) -> str:
    recipe = stage.recipe
    threads = f" {recipe.threads} threads" if device.startswith("cpu") else ""  # there a worker is so many
    return f"{stage.model.model} {recipe.image_size} px {recipe.precision}{threads}{ON}{device}"


@dataclass(frozen=True)
class Estimator:
    """Seconds from work, on one kind of device.

    Attributes:
        assumed: GFLOP/s it is assumed to do of each precision, while nothing was measured.
        speeds: what was measured.
        devices: the names by which devices of its kind call themselves in what was measured.
    """

    assumed: Mapping[str, float]
    speeds: MeasuredThroughput
    devices: Sequence[str] = ()

    def seconds(self, stage: Stage, work: float) -> float:
        """Return the seconds that some work (GFLOP) of a stage takes on one worker."""
        measured = self.measured_seconds(stage, work)
        return work / self.assumed[stage.recipe.precision] if measured is None else measured

    def measured_seconds(self, stage: Stage, work: float) -> float | None:
        """Return the same where the speed was measured, else None."""
        rate = self.speeds.rate(stage, self.devices)
        return None if rate is None else work / rate

    def is_measured(self, stage: Stage) -> bool:
        """Say whether there is a measured rate for a stage."""
        return self.speeds.rate(stage, self.devices) is not None


class RunThroughput:
    """Turns work into seconds, from the stages that have finished so far in this run.

    Each architecture has its own rate once one of its stages is done; until then the mean over all serves.
    """

    def __init__(self) -> None:
        self._work: dict[str, float] = defaultdict(float)
        self._seconds: dict[str, float] = defaultdict(float)

    def measured(self, architecture: str, work: float, seconds: float) -> None:
        """Take in a finished piece of work."""
        self._work[architecture] += work
        self._seconds[architecture] += seconds

    def own_seconds(self, architecture: str, work: float) -> float | None:
        """Return the seconds some work will take on one worker, or None while none of its architecture was measured."""
        if not self._work.get(architecture):
            return None
        return work * self._seconds[architecture] / self._work[architecture]

    def seconds(self, architecture: str, work: float) -> float | None:
        """Return the same, or None while nothing was measured."""
        own, total = self.own_seconds(architecture, work), sum(self._work.values())
        if own is not None or not total:
            return own
        return work * sum(self._seconds.values()) / total
