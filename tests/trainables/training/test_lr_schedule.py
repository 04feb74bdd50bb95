"""Tests of the learning rate's decay, against the schedulers of torch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from trainables.errors import UserError
from trainables.specs import Recipe
from trainables.training.lr_schedule import rate_factor

EPOCHS, STEPS = 20, 10


def factors(**recipe: Any) -> list[float]:
    """Return the factor at each step of a whole stage."""
    spec = Recipe(epochs=EPOCHS, **recipe)
    return [rate_factor(spec, step, STEPS, []) for step in range(EPOCHS * STEPS)]


def of_torch(kind: type[lr_scheduler.LRScheduler], steps: int, **options: Any) -> list[float]:
    """Return the first rates of a scheduler of torch whose start (or largest) rate is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = kind(optimizer, **options)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


def test_constant() -> None:
    assert factors(decay="constant") == [1.0] * EPOCHS * STEPS


@pytest.mark.parametrize(("epochs", "factor"), [(7, 0.1), (1, 0.5), (19, 0.3), (50, 0.1)])
def test_step_is_steplr_by_epoch(epochs: int, factor: float) -> None:
    by_epoch = of_torch(lr_scheduler.StepLR, EPOCHS, step_size=epochs, gamma=factor)
    expected = np.repeat(by_epoch, STEPS)
    assert factors(decay="step", decay_epochs=epochs, decay_factor=factor) == pytest.approx(expected)


def test_exponential_is_exponentiallr_by_step() -> None:
    total = EPOCHS * STEPS
    expected = of_torch(lr_scheduler.ExponentialLR, total, gamma=0.01 ** (1 / total))
    assert factors(decay="exponential", decay_factor=0.01) == pytest.approx(expected)


def test_cosine_is_cosineannealinglr_by_step() -> None:
    total = EPOCHS * STEPS
    assert factors(decay="cosine") == pytest.approx(of_torch(lr_scheduler.CosineAnnealingLR, total, T_max=total))


def test_one_cycle_is_onecyclelr() -> None:
    """OneCycleLR ends on the last step, ours one step after it: so they differ by a share of a step."""
    total = EPOCHS * STEPS
    expected = of_torch(lr_scheduler.OneCycleLR, total, max_lr=1.0, total_steps=total, cycle_momentum=False)
    ours = factors(decay="one_cycle")
    assert np.abs(np.array(ours) - expected).max() < np.pi / 2 / (0.3 * total) + 1e-9
    assert ours[0] == pytest.approx(1 / 25)
    assert max(ours) == ours[int(0.3 * total)] == pytest.approx(1.0)
    assert rate_factor(Recipe(epochs=EPOCHS, decay="one_cycle"), total, STEPS, []) == pytest.approx(1 / 25 / 1e4)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=20), st.integers(1, 4))
def test_plateau_is_reducelronplateau_by_epoch(scores: list[float], wait: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.5, patience=wait - 1, threshold=0.0, eps=0.0
    )
    recipe = Recipe(epochs=30, decay="plateau", decay_epochs=wait, decay_factor=0.5)
    for done in range(len(scores) + 1):
        expected = optimizer.param_groups[0]["lr"]
        assert rate_factor(recipe, done * STEPS, STEPS, scores[:done]) == pytest.approx(expected)
        if done < len(scores):
            scheduler.step(scores[done])


@pytest.mark.parametrize("epochs", [1, 2.5, 20])
def test_warmup_is_linearlr(epochs: float) -> None:
    steps = int(epochs * STEPS)
    expected = of_torch(
        lr_scheduler.LinearLR, EPOCHS * STEPS, start_factor=1 / steps, end_factor=1.0, total_iters=steps - 1
    )
    assert factors(warmup_epochs=epochs) == pytest.approx(expected)


def test_warmup_goes_with_any_decay() -> None:
    both = factors(warmup_epochs=3, decay="cosine")
    assert both == pytest.approx(np.multiply(factors(warmup_epochs=3), factors(decay="cosine")))


@pytest.mark.parametrize("decay", ["constant", "step", "exponential", "cosine", "one_cycle", "plateau"])
def test_a_factor_depends_on_its_step_alone(decay: str) -> None:
    """So a stage that goes on after an interruption needs no state of a scheduler."""
    recipe = Recipe(epochs=EPOCHS, decay=decay, warmup_epochs=2)
    forward = [rate_factor(recipe, step, STEPS, [0.5] * (step // STEPS)) for step in range(EPOCHS * STEPS)]
    steps = list(range(EPOCHS * STEPS))
    random.Random(0).shuffle(steps)
    shuffled = {step: rate_factor(recipe, step, STEPS, [0.5] * (step // STEPS)) for step in steps}
    assert [shuffled[step] for step in range(EPOCHS * STEPS)] == forward
    assert all(0 <= factor <= 1 for factor in forward)


def test_a_schedule_that_there_is_not_is_not_silently_constant() -> None:
    recipe = Recipe().model_copy(update={"decay": "cosin"})  # past the check of the specification
    with pytest.raises(UserError, match="no learning-rate schedule cosin; .*did you mean cosine"):
        rate_factor(recipe, 3, STEPS, [])
