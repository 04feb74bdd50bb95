"""Early stopping: which epoch is the best so far, and whether another is worth its time. By val alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from trainables.frozen import Frozen
from trainables.registry import Registry
from trainables.specs import Recipe

ValMetrics = Sequence[Mapping[str, float]]
"""The val metrics of each finished epoch: ``loss``, ``accuracy``, ``f1_macro``, and those that the recipe asks for."""


class StoppingRule(Frozen, ABC):
    """When training ends before its last epoch. The fields of a subclass are its options, ``recipe.stopping_options``."""

    @abstractmethod
    def stops(self, recipe: Recipe, val: ValMetrics) -> bool:
        """Say whether training ends here.

        Args:
            recipe: how the stage trains: ``patience`` is there.
            val: of the epochs so far, at least one.
        """


stopping_rules: Registry[type[StoppingRule]] = Registry(
    "stopping rule", "stopping_rules", "trainables.training.early_stopping", StoppingRule
)


@stopping_rules.register("patience")
class Patience(StoppingRule):
    """Stops when the recipe's ``patience`` epochs in a row brought no strictly higher val f1_macro; never without one."""

    def stops(self, recipe: Recipe, val: ValMetrics) -> bool:
        """Compare the epochs since the best one with the patience."""
        return recipe.patience is not None and len(val) - 1 - last_gain(val) >= recipe.patience


def last_gain(val: ValMetrics) -> int:
    """Return the last epoch with a strictly higher val f1_macro than all before it. Patience counts from there."""
    return max(range(len(val)), key=lambda epoch: val[epoch]["f1_macro"])


def best_epoch(recipe: Recipe, val: ValMetrics) -> int:
    """Return the epoch that is selected: that of the highest val f1_macro; of several, as ``recipe.epoch_ties`` says.

    Where few val images are all classified right, or all alike, many epochs tie: the earliest of them has seen least.

    Args:
        recipe: how the stage trains.
        val: of the epochs so far, at least one.
    """
    if recipe.epoch_ties == "earliest":
        return last_gain(val)
    return max(range(len(val)), key=lambda epoch: (val[epoch]["f1_macro"], -val[epoch]["loss"], epoch))


def is_over(recipe: Recipe, val: ValMetrics) -> bool:
    """Say whether training ends: all epochs are done, or the recipe's rule stops it.

    Args:
        recipe: its number of epochs, its stopping rule and the options of that.
        val: of the epochs so far.

    Raises:
        UserError: if there is no such rule.
    """
    if not val or len(val) >= recipe.epochs:
        return len(val) >= recipe.epochs
    return stopping_rules[recipe.stopping].model_validate(recipe.stopping_options).stops(recipe, val)
