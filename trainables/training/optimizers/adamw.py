"""Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.training.optimizers.base import OptimizerSpec, is_on_gpu, optimizers

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.specs import Recipe

BETA2 = 0.999


@optimizers.register("adamw")
class AdamW(OptimizerSpec):
    """AdamW with the recipe's momentum as beta1 and its weight decay."""

    def build(self, module: nn.Module, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
        """Return ``torch.optim.AdamW``; its fused form on a GPU."""
        from torch import optim

        return optim.AdamW(
            module.parameters(),
            learning_rate,
            betas=(recipe.momentum, BETA2),
            weight_decay=recipe.weight_decay,
            fused=is_on_gpu(module),
        )
