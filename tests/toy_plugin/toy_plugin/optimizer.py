"""An optimizer. The module imports torch at once, as those of others may: the process that plans must not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from trainables.specs import Recipe
from trainables.training.optimizers.base import OptimizerSpec


class _Signs(torch.optim.Optimizer):
    def __init__(self, parameters: Iterator[nn.Parameter], lr: float, share: float) -> None:
        super().__init__(parameters, {"lr": lr, "share": share})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad.sign(), alpha=group["lr"] * group["share"])


class SignDescent(OptimizerSpec):
    """A step against the sign of the gradient."""

    share: float = Field(0.1, gt=0, le=1)
    state_copies: ClassVar[int] = 0

    def build(self, module: nn.Module, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
        return _Signs(module.parameters(), learning_rate, self.share)
