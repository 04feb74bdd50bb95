"""What every augmentation entry is, and how those of a recipe are applied to a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from trainables.arrays import Floats
from trainables.frozen import Frozen
from trainables.registry import Registry

if TYPE_CHECKING:
    import torch


class AugmentationSpec(Frozen, ABC):
    """A random change of training images. The fields of a subclass are its options in a grid.

    It is applied after the built-in warp and colour map and before the normalisation, by one definition on CPU and GPU.
    A plan reads the options of every entry, so a module of this folder imports torch within its functions only.

    Attributes:
        draws: how many random numbers an image takes.
    """

    draws: ClassVar[int] = 0

    @abstractmethod
    def apply(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Return the changed images, of the same shape.

        Args:
            images: float32, shape (n, 3, edge, edge), 0 to 255, channels-last in memory. They may be changed in place.
            draws: shape (n, ``draws``), uniform in [0, 1), the only randomness: an image has the same in any batch.
        """


augmentations: Registry[type[AugmentationSpec]] = Registry(
    "augmentation", "augmentations", "trainables.data.loading.augmentations", AugmentationSpec
)


class DrawnOperation(NamedTuple):
    """An augmentation with the random numbers of a batch.

    Attributes:
        spec: the augmentation.
        draws: shape (n, ``spec.draws``), in [0, 1).
    """

    spec: AugmentationSpec
    draws: Floats


def apply_operations(images: torch.Tensor, operations: Sequence[DrawnOperation]) -> torch.Tensor:
    """Return images after some augmentations, in their order, each cut to the range of a pixel.

    Args:
        images: float32, shape (n, 3, edge, edge), 0 to 255, channels-last in memory.
        operations: with draws for these n images.
    """
    import torch

    if not len(images):
        return images
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        for spec, draws in operations:
            numbers = torch.from_numpy(draws).to(images.device, torch.float32, non_blocking=True)
            images = spec.apply(images, numbers).clamp(0, 255)
    return images.contiguous(memory_format=torch.channels_last)
