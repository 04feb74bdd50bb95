"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trainables.training.optimizers.base import OptimizerSpec, is_on_gpu, optimizers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.specs import Recipe


@optimizers.register("sgd")
class Sgd(OptimizerSpec):
    """SGD with the recipe's momentum and weight decay (L2, in the gradient)."""

    state_copies: ClassVar[int] = 1

    def build(self, module: nn.Module, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
        """Return ``torch.optim.SGD``; its fused form on a GPU."""
        from torch.optim import SGD

        return SGD(
            module.parameters(),
            learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=is_on_gpu(module),
        )
