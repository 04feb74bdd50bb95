"""Tests of the optimizers: each is torch's with the recipe's settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainables.errors import UserError
from trainables.specs import Recipe
from trainables.training.optimizers.base import make_optimizer, optimizers

REFERENCES: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.999), weight_decay=0.01),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def train(module: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    torch.manual_seed(1)
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in module.parameters()]


@pytest.mark.parametrize("name", REFERENCES)
def test_three_steps_are_those_of_torch(name: str) -> None:
    recipe = Recipe(optimizer=name, momentum=0.8, weight_decay=0.01)
    ours, theirs = network(), network()
    found = train(ours, make_optimizer(ours, recipe, 0.1))
    expected = train(theirs, REFERENCES[name](theirs.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", optimizers.own())
def test_it_keeps_as_many_copies_of_the_weights_as_it_says(name: str) -> None:
    """The estimate of a study's disk relies on it."""
    module = network()
    optimizer = make_optimizer(module, Recipe(optimizer=name), 0.1)
    train(module, optimizer)
    weights = sum(parameter.numel() for parameter in module.parameters())
    kept = [t for state in optimizer.state.values() for t in state.values() if torch.is_tensor(t) and t.numel() > 1]
    assert sum(t.numel() for t in kept) == optimizers[name].state_copies * weights


def test_a_name_without_an_entry_trains_nothing() -> None:
    recipe = Recipe().model_copy(update={"optimizer": "adam"})  # past the check of the specification
    with pytest.raises(UserError, match="no optimizer adam; .*did you mean adamw"):
        make_optimizer(network(), recipe, 0.1)
