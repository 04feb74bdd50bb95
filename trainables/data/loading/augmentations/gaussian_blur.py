"""Gaussian blur of random strength."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from trainables.data.loading.augmentations.base import AugmentationSpec, augmentations

if TYPE_CHECKING:
    import torch

TRUNCATE = 3.0
"""The kernel ends at so many standard deviations."""


@augmentations.register("gaussian_blur")
class GaussianBlur(AugmentationSpec):
    """A blur whose standard deviation is uniform between 0 and ``sigma`` for each image; mirrored at the border."""

    sigma: float = Field(1.0, gt=0, le=10, description="largest standard deviation, pixels")
    draws: ClassVar[int] = 1

    def apply(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Convolve each image with a kernel of its own, by rows and by columns.

        Args:
            images: float32, shape (n, 3, edge, edge).
            draws: shape (n, 1): the standard deviation of each image as a share of ``sigma``.
        """
        import torch
        from torch.nn.functional import conv2d, pad

        count, channels, height, width = images.shape
        radius = min(math.ceil(TRUNCATE * self.sigma), height - 1, width - 1)
        distances = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
        sigma = (draws[:, :1] * self.sigma).clamp(min=1e-3)  # at 0 the kernel would be 0/0
        kernels = torch.exp(-0.5 * (distances / sigma) ** 2)
        kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
        planes = pad(images, [radius] * 4, mode="reflect").flatten(0, 1).unsqueeze(0)
        planes = conv2d(planes, kernels[:, None, :, None], groups=count * channels)
        planes = conv2d(planes, kernels[:, None, None, :], groups=count * channels)
        return planes.view(count, channels, height, width)
