"""What every optimizer entry is, and how a recipe's is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from trainables.frozen import Frozen
from trainables.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.specs import Recipe


class OptimizerSpec(Frozen, ABC):
    """How an optimizer is made. The fields of a subclass are its options, ``recipe.optimizer_options`` of a grid.

    A plan reads the options of every entry, so a module of this folder imports torch within its functions only.

    Attributes:
        state_copies: how many tensors of the size of the weights the optimizer keeps: for the estimate of checkpoints.
    """

    state_copies: ClassVar[int] = 2

    @abstractmethod
    def build(self, module: nn.Module, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
        """Return the optimizer of a network.

        Args:
            module: the network, on its device.
            recipe: how it trains: ``momentum`` and ``weight_decay`` are there.
            learning_rate: start learning rate; the schedule sets that of each step.
        """


optimizers: Registry[type[OptimizerSpec]] = Registry(
    "optimizer", "optimizers", "trainables.training.optimizers", OptimizerSpec
)


def make_optimizer(module: nn.Module, recipe: Recipe, learning_rate: float) -> torch.optim.Optimizer:
    """Return the optimizer that a recipe names.

    Args:
        module: the network, on its device.
        recipe: its optimizer, the options of that, momentum and weight decay.
        learning_rate: start learning rate.

    Raises:
        UserError: if there is no such optimizer.
    """
    spec = optimizers[recipe.optimizer].model_validate(recipe.optimizer_options)
    return spec.build(module, recipe, learning_rate)


def is_on_gpu(module: nn.Module) -> bool:
    """Whether a network is on a GPU, where torch has fused forms of its optimizers."""
    return next(module.parameters()).is_cuda
