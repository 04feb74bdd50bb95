"""Guided back-propagation (Springenberg et al. 2015), of a batch, in any network that rectifies.

The rule of pytorch-grad-cam (its autograd function) is put in the place of every ReLU while a batch runs,
whether the network calls it as a module or as a function. Its own ``GuidedBackpropReLUModel`` replaces the
modules themselves, does not see ``F.relu``, takes one image, and leaves other modules behind.
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

from analysis.explain.methods.target_layer import studied

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
    """Within, ReLUs pass back only positive gradients; what is met is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.met: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace rectifiers; a ceiling (ReLU6) stays one."""
        kwargs = kwargs or {}
        if func in OTHERS:
            self.met[OTHERS[func]] += 1
        if func in RELU:
            self.met["ReLU"] += 1
            return _guided(_first(args, kwargs))
        if func in RELU6 or (func in HARDTANH and _limits(args, kwargs) == (0.0, 6.0)):
            self.met["ReLU6"] += 1
            return _guided(_first(args, kwargs)).clamp(max=6.0)
        return func(*args, **kwargs)

    @property
    def description(self) -> str:
        """What the gradient is, in words."""
        rectifiers = [name for name in ("ReLU", "ReLU6") if self.met[name]]
        others = sorted(name for name in self.met if name not in ("ReLU", "ReLU6"))
        if not rectifiers:
            return f"plain gradient: guided back-propagation is defined for ReLU, this network has {', '.join(others) or 'none'}"
        if others:
            return f"gradient guided at {' and '.join(rectifiers)} only: this network has {', '.join(others)} as well"
        return f"guided back-propagation through {' and '.join(rectifiers)}"


def guided_gradient(
    module: nn.Module, images: torch.Tensor, targets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], str]:
    """Return the gradient of each image's target logit by its pixels, guided where the network rectifies.

    Args:
        module: left as it was.
        images: (n, 3, edge, edge), normalised.
        targets: class explained, shape (n,).

    Returns:
        (n, 3, edge, edge), and what it is in words.
    """
    guidance = Guidance()
    given = images.detach().clone().requires_grad_()
    with studied(module), torch.enable_grad():
        with guidance:
            logits = module(given)
        wanted = logits.gather(1, torch.from_numpy(targets).to(logits.device)[:, None]).sum()
        (gradient,) = torch.autograd.grad(wanted, given)
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
