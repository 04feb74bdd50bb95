"""Tests of training with selection on val."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainables.support.training_bench import (
    CPU,
    WANT,
    Linear,
    build_resnet,
    equal,
    evaluate,
    tensors,
    training,
)
from trainables.data.loading.batches import Part, TrainingBatches
from trainables.data.packing.prepare import Packed
from trainables.errors import StageError
from trainables.specs import Augmentation
from trainables.training.distributed import DistributedContext
from trainables.training.epoch import EpochRecord, PreemptionEvent
from trainables.training.lr_schedule import rate_factor
from trainables.training.train_step import TrainStep
from trainables.training.trainer import Trainer

# What is learnt, and what is chosen


def test_training_knows_a_train_and_a_val_part_and_no_other() -> None:
    parts = {
        f"{owner.__name__}.{field.name}"
        for owner in (Trainer, TrainingBatches, TrainStep)
        for field in (dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ())
        if "Part" in str(field.type)
    }
    assert parts == {"Trainer.val", "TrainingBatches.part"}
    assert not any("test" in field.name for field in dataclasses.fields(Trainer))


def test_colours_are_learnt(coloured: Packed) -> None:
    epochs = list(training(coloured).run())
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    assert epochs[-1].val["f1_macro"] == epochs[-1].val["accuracy"] == 1.0
    assert epochs[-1].train["loss"] < 0.5 * epochs[0].train["loss"]
    assert epochs[0].images_per_second > 0
    assert epochs[0].seconds > 0


def test_wrong_labels_are_not_learnt(coloured: Packed, in_memory: Callable[..., Packed]) -> None:
    """Guards the test above: with labels that have nothing to do with their images, val stays at chance."""
    labels = np.random.default_rng(1).permutation(coloured.labels)
    other = in_memory(labels.tolist(), images=coloured.gather(np.arange(len(labels))))
    assert list(training(other).run())[-1].val["accuracy"] < 0.7


def scored(*f1: float) -> list[EpochRecord]:
    return [EpochRecord(n, {}, {"f1_macro": score}, 0.1, 1.0, 1.0) for n, score in enumerate(f1)]


@pytest.mark.parametrize(
    ("scores", "best"), [((0.1, 0.5, 0.3), 1), ((0.5, 0.5, 0.4, 0.5), 0), ((0.0, 0.2, 0.2), 1), ((0.0, 0.0), 0)]
)
def test_the_best_epoch_is_the_earliest_of_the_highest_val_score(
    coloured: Packed, scores: tuple[float, ...], best: int
) -> None:
    assert training(coloured, epochs=scored(*scores)).best.epoch == best


def test_the_weights_kept_are_those_after_the_best_epoch(coloured: Packed) -> None:
    """Every image is right for the first time in a middle epoch; after it, weights change and the score does not."""
    run = training(coloured, learning_rate=0.01, recipe={"epochs": 6})
    after = [tensors(run) for _ in run.run()]
    found = [epoch.val["f1_macro"] for epoch in run.epochs]
    assert found.index(max(found)) == run.best.epoch
    assert 0 < run.best.epoch < 5
    assert equal(run.best_state, after[run.best.epoch])
    assert not equal(run.best_state, after[-1])
    run.train_step.module.load_state_dict(run.best_state)
    assert evaluate(run.train_step.module, run.val)[1] == run.best.val


def test_patience_stops_where_nothing_gets_better(coloured: Packed) -> None:
    still: dict[str, Any] = {"learning_rate": 1e-12, "recipe": {"epochs": 9, "patience": 2}}
    run = training(coloured, **still)
    assert [epoch.epoch for epoch in run.run()] == [0, 1, 2]
    assert run.best.epoch == 0


def test_without_patience_all_epochs_are_run(coloured: Packed) -> None:
    assert len(list(training(coloured, learning_rate=1e-12, recipe={"epochs": 5}).run())) == 5


# Repeatable


def test_the_same_training_gives_the_same_bits(coloured: Packed) -> None:
    runs = [training(coloured, build_resnet(), recipe={"augmentation": Augmentation()}) for _ in range(2)]
    for run in runs:
        torch.manual_seed(np.random.default_rng().integers(2**31))  # whatever ran before
        list(run.run())
    assert equal(tensors(runs[0]), tensors(runs[1]))
    assert [epoch.train for epoch in runs[0].epochs] == [epoch.train for epoch in runs[1].epochs]


@pytest.mark.parametrize("change", [{"seed": 1}, {"fold": 1}, {"fold": None}])
def test_another_seed_or_fold_gives_other_bits(coloured: Packed, change: dict[str, Any]) -> None:
    run, other = training(coloured), training(coloured, **change)
    list(run.run())
    list(other.run())
    assert not equal(tensors(run), tensors(other))


def test_dropout_is_drawn_from_seed_and_epoch_whatever_ran_before(coloured: Packed) -> None:
    def run(noise: int, **fields: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        made = training(coloured, nn.Sequential(nn.Dropout(0.5), Linear()), recipe={"batch_size": 40}, **fields)
        for _ in made.run():
            torch.manual_seed(noise)
        return tensors(made)

    first = run(noise=1)
    assert equal(run(noise=2), first)
    assert not equal(run(noise=1, seed=1), first)


def test_a_training_taken_up_again_ends_with_the_same_bits(coloured: Packed) -> None:
    recipe = {"epochs": 5, "optimizer": "adamw", "decay": "plateau", "decay_epochs": 1}
    whole = training(coloured, build_resnet(), recipe=recipe)
    list(whole.run())
    first = training(coloured, build_resnet(), recipe=recipe)
    going = first.run()
    next(going)
    next(going)
    state = first.state()
    second = training(coloured, build_resnet(seed=9), recipe=recipe)
    assert [epoch.epoch for epoch in second.run(state)] == [2, 3, 4]
    assert equal(tensors(second), tensors(whole))
    assert equal(second.best_state, whole.best_state)
    assert [e.val for e in second.epochs] == [e.val for e in whole.epochs]


@pytest.mark.parametrize("step", [2, 5, 7, 15])
def test_a_training_that_must_leave_within_an_epoch_goes_on_at_the_next_step(coloured: Packed, step: int) -> None:
    """At 5 steps an epoch: within the first, at its last step, within the second, at the very last."""
    whole = training(coloured, build_resnet())
    list(whole.run())
    asked = iter(range(1, 100))
    first = training(
        coloured, build_resnet(), distributed=DistributedContext(CPU.device, is_preempted=lambda: next(asked) == step)
    )
    events = list(first.run())
    assert [type(event) for event in events] == [EpochRecord] * ((step - 1) // 5) + [PreemptionEvent]
    assert next(asked) == step + 1, "it went on after it was to leave"
    second = training(coloured, build_resnet(seed=9))
    list(second.run(first.state()))
    assert equal(tensors(second), tensors(whole))
    assert [(e.train, e.val) for e in second.epochs] == [(e.train, e.val) for e in whole.epochs]


# The step


def one_step(data: Packed, **fields: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the weights before and after one step on all training images."""
    fields["recipe"] = {"epochs": 1, "batch_size": 40, "momentum": 0, "weight_decay": 0} | fields.get("recipe", {})
    run = training(data, **fields)
    before = tensors(run)
    list(run.run())
    return before, tensors(run)


def test_a_step_of_sgd_is_the_rate_times_the_gradient(coloured: Packed) -> None:
    before, after = one_step(coloured, learning_rate=0.5, recipe={"weight_decay": 0.1})
    module = Linear()
    module.load_state_dict(before)
    part = Part(coloured, np.arange(40))
    loss = nn.functional.cross_entropy(module(WANT.tensor(coloured.gather(part.rows))), torch.from_numpy(part.labels))
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        expected = before[name] - 0.5 * (parameter.grad + 0.1 * before[name])
        torch.testing.assert_close(after[name], expected)


def test_clipping_bounds_the_step(coloured: Packed) -> None:
    def length(**recipe: Any) -> float:
        before, after = one_step(coloured, learning_rate=0.5, recipe=recipe)
        return float(torch.cat([(after[name] - before[name]).flatten() for name in before]).norm())

    assert length() > 0.5 * 0.01
    assert length(clip_norm=0.01) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert length(clip_norm=1e6) == length()


def test_adamw_takes_its_first_step_at_the_rate(coloured: Packed) -> None:
    before, after = one_step(coloured, learning_rate=0.01, recipe={"optimizer": "adamw", "momentum": 0.9})
    steps = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert steps.abs().max() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("decay", ["cosine", "one_cycle", "plateau"])
def test_the_rate_follows_the_recipe(coloured: Packed, decay: str) -> None:
    run = training(coloured, recipe={"decay": decay, "decay_epochs": 1, "warmup_epochs": 1, "epochs": 4})
    epochs = list(run.run())
    val = [epoch.val["f1_macro"] for epoch in epochs]
    for epoch in epochs:
        last = 5 * epoch.epoch + 4
        assert epoch.learning_rate == 0.05 * rate_factor(run.train_step.recipe, last, 5, val[: epoch.epoch])
    assert len({epoch.learning_rate for epoch in epochs}) > 1


# What goes wrong


def test_a_loss_that_is_not_finite_ends_the_training_with_advice(coloured: Packed) -> None:
    run = training(coloured, build_resnet(), learning_rate=1e12)
    with pytest.raises(StageError, match=r"loss became (nan|inf).* epoch \d.*learning rate 1e\+12.*clip_norm"):
        list(run.run())


def test_a_last_step_into_the_void_is_noticed_on_val(coloured: Packed) -> None:
    """The loss of a step is of the weights before it."""
    run = training(coloured, build_resnet(), learning_rate=1e30, recipe={"epochs": 1, "batch_size": 40})
    with pytest.raises(StageError, match=r"the val loss became (nan|inf) after epoch 0"):
        list(run.run())
    assert run.epochs == []
