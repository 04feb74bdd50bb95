"""The precision in which a network runs."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from trainables.errors import StageError
from trainables.specs import Recipe


def autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    """Return the context in which the network runs in the recipe's precision.

    Args:
        device: where it runs.
        recipe: its ``precision``.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16")


def refuse_undefined_gradients(module: nn.Module) -> None:
    """Have a network raise where torch's bf16 gradient of a convolution is read from uninitialised memory.

    So it is on CPUs that compute in bf16 (torch 2.14, oneDNN, AMX) where a kernel wider than one pixel steps by more than
    one over a map of a single pixel across: sometimes not a number, sometimes only wrong. Tested by hand for maps of 1
    to 4 pixels, kernels of 1 to 7 and steps of 1 and 2: nothing else was off.

    Args:
        module: the network. Its forward pass raises StageError from now on, where that happens.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 and max(layer.stride) > 1:
            layer.register_forward_pre_hook(partial(_refuse_one_pixel, name))


def _refuse_one_pixel(name: str, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    if inputs[0].shape[-1] == 1:
        raise StageError(
            f"the convolution {name} steps over a map one pixel wide, and torch's bf16 gradient of that is undefined on "
            "a CPU: take a larger image_size, or precision: float32"
        )
