"""The work of a stage in GFLOP, from FLOPs of its network and counts of its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

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


def stage_work(stage: Stage, images: Mapping[str, int]) -> float:
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
