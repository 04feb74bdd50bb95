"""Guided back-propagation (Springenberg et al. 2015) of a batch, for any network with ReLUs.

While a batch runs, every ReLU, called as a module or as a function, is replaced by the autograd function of
pytorch-grad-cam. The library's own ``GuidedBackpropReLUModel`` replaces modules, misses ``F.relu``, takes one image, and
leaves the network changed.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_grad_cam.guided_backprop import GuidedBackpropReLU
from torch import nn
from torch.overrides import TorchFunctionMode

from analysis.explain.methods.target_layer import evaluating
from trainables.arrays import Ints

RELU = (F.relu, torch.relu, torch.relu_, F.relu_, torch.Tensor.relu, torch.Tensor.relu_)
RELU6 = (F.relu6,)
HARDTANH = (F.hardtanh, F.hardtanh_)
OTHERS = {
    F.gelu: "GELU",
    F.silu: "SiLU",
    F.hardswish: "Hardswish",
    F.elu: "ELU",
    F.selu: "SELU",
    F.leaky_relu: "LeakyReLU",
    F.mish: "Mish",
    F.softplus: "Softplus",
}
"""Activations for which guided back-propagation is not defined. Gates (sigmoid, softmax) only scale."""


class Guidance(TorchFunctionMode):
    """Context in which ReLUs pass back positive gradients only; the activations called are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.called: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, with ReLUs replaced; the ceiling of a ReLU6 remains.

        Args:
            func: the function.
            types: ignored; likewise below, see ``torch.overrides``.
            args: positional arguments.
            kwargs: keyword arguments.
        """
        kwargs = kwargs or {}
        if func in OTHERS:
            self.called[OTHERS[func]] += 1
        if func in RELU:
            self.called["ReLU"] += 1
            return _guided(_first(args, kwargs))
        if func in RELU6 or (func in HARDTANH and _limits(args, kwargs) == (0.0, 6.0)):
            self.called["ReLU6"] += 1
            return _guided(_first(args, kwargs)).clamp(max=6.0)
        return func(*args, **kwargs)

    @property
    def description(self) -> str:
        """The kind of gradient, in words."""
        rectifiers = [name for name in ("ReLU", "ReLU6") if self.called[name]]
        others = sorted(name for name in self.called if name not in ("ReLU", "ReLU6"))
        if not rectifiers:
            return f"plain gradient: guided back-propagation is defined for ReLU, this network has {', '.join(others) or 'none'}"
        if others:
            return f"gradient guided at {' and '.join(rectifiers)} only: this network has {', '.join(others)} as well"
        return f"guided back-propagation through {' and '.join(rectifiers)}"


def guided_gradient(module: nn.Module, images: torch.Tensor, targets: Ints) -> tuple[NDArray[np.float32], str]:
    """Return the gradient of each image's target logit with respect to its pixels, guided at ReLUs.

    Args:
        module: the network; left as it was.
        images: normalised, shape (n, 3, edge, edge).
        targets: classes to explain, shape (n,).

    Returns:
        the gradient, shape (n, 3, edge, edge), and its kind in words.
    """
    guidance = Guidance()
    pixels = images.detach().clone().requires_grad_()
    with evaluating(module), torch.enable_grad():
        with guidance:
            logits = module(pixels)
        wanted = logits.gather(1, torch.from_numpy(targets).to(logits.device)[:, None]).sum()
        (gradient,) = torch.autograd.grad(wanted, pixels)
    return gradient.float().cpu().numpy(), guidance.description


def _guided(tensor: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = GuidedBackpropReLU.apply(tensor)
    return result


def _first(args: Any, kwargs: Any) -> torch.Tensor:
    tensor: torch.Tensor = args[0] if args else kwargs["input"]
    return tensor


def _limits(args: Any, kwargs: Any) -> tuple[float, float]:
    given = [*args[1:3], *(kwargs[name] for name in ("min_val", "max_val") if name in kwargs)]
    low, high = given if len(given) == 2 else (-1.0, 1.0)
    return float(low), float(high)
