"""Images of a part that stay on the GPU, where they fit: no copy from the host in any step.

Never run on a GPU by us; its logic is tested with tensors of the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.packing.prepare import Packed

SHARE_OF_FREE = 0.3
"""The images take no more than this share of the device's free memory: the rest is the network's and its gradients'."""
COPIED_AT_A_TIME = 1024


@dataclass(frozen=True)
class GpuCache:
    """Some images of a packed data set on a device.

    Attributes:
        pixels: uint8, shape (images, size, size, 3), on the device.
        places: of each row of the data set its place in ``pixels``, shape (rows of the set,); past its end where it is
            not there, so that to take it is an error.
    """

    pixels: torch.Tensor
    places: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return images by row of the data set: uint8, shape (len(rows), size, size, 3), on the device."""
        places = torch.from_numpy(self.places[rows]).to(self.pixels.device, non_blocking=True)
        return self.pixels[places]


def make_resident(data: Packed, rows: NDArray[np.int64], device: torch.device, free: int) -> GpuCache | None:
    """Copy images to a device.

    Args:
        data: the packed data set.
        rows: which of its images.
        device: where to.
        free: bytes that the device has free.

    Returns:
        the copies; None where there are no images, or they would take more than ``SHARE_OF_FREE`` of what is free.
    """
    shape = (len(rows), data.size, data.size, 3)
    if len(rows) == 0 or np.prod(shape, dtype=np.int64) > SHARE_OF_FREE * free:
        return None
    pixels = torch.empty(shape, dtype=torch.uint8, device=device)
    for first in range(0, len(rows), COPIED_AT_A_TIME):
        pixels[first : first + COPIED_AT_A_TIME] = torch.from_numpy(data.gather(rows[first : first + COPIED_AT_A_TIME]))
    places = np.full(len(data.labels), len(rows), dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return GpuCache(pixels, places)


def free_bytes(device: torch.device) -> int:
    """Return how much memory a GPU has left; 0 of a CPU, where images are at hand already."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
