"""The changes of ``augment`` applied by torch, on whatever device the images are: what a GPU uses.

One definition, two back-ends. This one rounds nothing. OpenCV rounds to whole levels of 255 twice, after the
warp and after the colour, and its colour coefficients to 1/1024: with the default changes the two differ by 0.25
to 0.35 levels in the mean and 1.3 at most (OpenCV 4 also rounds places to 1/32 pixel, which shows at edges).
Tested on CPU tensors; never run on a GPU by us.
"""

from __future__ import annotations

import torch

from trainables.data.loading.augment import AugmentParameters


def apply_tensor(images: torch.Tensor, change: AugmentParameters, target: int) -> torch.Tensor:
    """Return a batch after its warp and colour map, on the device of the images: bilinear, not rounded.

    Beyond its border an image is mirrored, the border pixel once (OpenCV's BORDER_REFLECT_101). In float32 whatever
    precision the network runs in: bfloat16 cannot tell pixel 200 from 200.5.

    Args:
        images: uint8, shape (n, source, source, 3).
        change: of these n images. Its ``operations`` are not applied.
        target: edge of the images wanted, pixels.

    Returns:
        images, float32, shape (n, 3, target, target), in [0, 255], channels-last in memory.
    """
    with torch.autocast(images.device.type, enabled=False):
        return _applied(images, change, target)


def _applied(images: torch.Tensor, change: AugmentParameters, target: int) -> torch.Tensor:
    affine = torch.from_numpy(change.affine).to(images.device, torch.float32, non_blocking=True)
    colour = torch.from_numpy(change.colour).to(images.device, torch.float32, non_blocking=True)
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    # align_corners puts -1 and 1 on the centres of the outermost pixels: mirroring there repeats no pixel.
    grid = _places(affine, target) * (2 / (images.shape[1] - 1)) - 1
    warped = torch.nn.functional.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )
    flat = warped.permute(0, 2, 3, 1).reshape(len(images), target * target, 3)
    coloured = torch.baddbmm(colour[:, :, 3].unsqueeze(1), flat, colour[:, :, :3].transpose(1, 2)).clamp_(0, 255)
    return coloured.view(len(images), target, target, 3).permute(0, 3, 1, 2)


def _places(affine: torch.Tensor, target: int) -> torch.Tensor:
    """Return the input pixel (x, y) that each output pixel is read from, shape (n, target, target, 2)."""
    steps = torch.arange(target, device=affine.device, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    out = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, target * target, 3)
    return (out @ affine.transpose(1, 2)).view(len(affine), target, target, 2)
