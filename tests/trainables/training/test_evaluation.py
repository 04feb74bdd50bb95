"""Tests of evaluation, and of the precision it runs in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainables.support.training_bench import (
    EDGE,
    WANT,
    build_resnet,
    equal,
    evaluate,
    training,
)
from trainables.data.loading.batches import Part
from trainables.data.packing.prepare import Packed
from trainables.errors import StageError
from trainables.specs import Recipe
from trainables.training.precision import autocast


def test_evaluation_scores_every_image_in_the_parts_order(coloured: Packed) -> None:
    module = build_resnet()
    rows = np.random.default_rng(0).permutation(60)
    logits, shown = evaluate(module, Part(coloured, rows))
    module.eval()
    with torch.inference_mode():
        alone = np.concatenate([module(WANT.tensor(coloured.gather(rows[i : i + 1]))).numpy() for i in range(60)])
    np.testing.assert_allclose(logits, alone, atol=1e-5)
    assert logits.dtype == np.float32
    labels = torch.from_numpy(coloured.labels[rows])
    assert shown["loss"] == pytest.approx(float(nn.functional.cross_entropy(torch.from_numpy(alone), labels)), rel=1e-5)
    assert shown["accuracy"] == pytest.approx((alone.argmax(1) == coloured.labels[rows]).mean())


def test_evaluation_leaves_the_network_as_it_was(coloured: Packed) -> None:
    module = build_resnet()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    evaluate(module, Part(coloured, np.arange(60)))
    assert equal(dict(module.state_dict()), before)


def test_a_map_of_one_pixel_is_refused_in_bf16_and_trained_in_float32(coloured: Packed) -> None:
    with pytest.raises(StageError, match=r"layer4\.0\.conv1 steps over a map one pixel wide.*precision: float32"):
        next(training(coloured, build_resnet(), recipe={"precision": "bf16"}).run())
    next(training(coloured, build_resnet(), recipe={"precision": "float32"}).run())


def test_bf16_rounds_more_and_keeps_its_weights_in_float32(coloured: Packed) -> None:
    recipes = [{"precision": name, "epochs": 1, "batch_size": 40} for name in ("float32", "bf16")]
    wide = dataclasses.replace(WANT, edge=2 * EDGE)  # at EDGE its last map is one pixel wide
    runs = [
        training(coloured, build_resnet(), learning_rate=1e-3, recipe=recipe, input_spec=wide) for recipe in recipes
    ]
    losses = [next(run.run()).train["loss"] for run in runs]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert all(tensor.dtype != torch.bfloat16 for tensor in runs[1].best_state.values())
    with autocast(WANT.device, Recipe(precision="bf16")):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.bfloat16
    with autocast(WANT.device, Recipe()):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32
