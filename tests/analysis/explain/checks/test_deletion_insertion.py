"""Tests of deletion and insertion, and of the check with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from analysis.explain.checks.deletion_insertion import PixelOrder, deletion_insertion, share_hotter
from analysis.explain.checks.random_network import randomised
from analysis.explain.checks.sanity_check import similarity
from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.grad_cam import grad_cam
from analysis.explain.records.records import ALL_RANDOM, HEAD_RANDOM


class Contrast(nn.Module):
    """Class 1 grows with the contrast of the top left quarter; nothing else counts."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = images.shape[-1] // 2
        score = 20 * images[:, :, :half, :half].std((1, 2, 3)) - 8
        return torch.stack([-score, score], 1)


def quarter(row: int, column: int) -> np.ndarray:
    heat = np.zeros((32, 32), np.float32)
    heat[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 1
    return heat


def test_a_map_of_what_counts_is_more_faithful_than_one_of_what_does_not() -> None:
    image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    faithful = deletion_insertion(Contrast().eval(), image, 1, PixelOrder(quarter(0, 0), 0), 8)
    beside = deletion_insertion(Contrast().eval(), image, 1, PixelOrder(quarter(1, 1), 0), 8)
    assert faithful[0] < 0.35
    assert faithful[1] > 0.65
    assert beside[0] > faithful[0] + 0.2
    assert beside[1] < faithful[1] - 0.2


def test_a_network_that_sees_nothing_has_constant_curves() -> None:
    class Blind(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, np.log(3)]]).expand(len(images), 2)

    areas = deletion_insertion(Blind(), torch.randn(3, 16, 16), 1, PixelOrder(np.eye(16, dtype=np.float32), 0), 5)
    assert areas == pytest.approx((0.75, 0.75))


def test_ranks_follow_the_heat_and_are_drawn_among_equals() -> None:
    heat = np.array([[0.1, 0.9], [0.5, 0.0]], np.float32)
    assert share_hotter(PixelOrder(heat, 0)).tolist() == [[0.5, 0.0], [0.25, 0.75]]
    flat = np.zeros((8, 8), np.float32)
    assert sorted(share_hotter(PixelOrder(flat, 0)).reshape(-1)) == [i / 64 for i in range(64)]
    assert share_hotter(PixelOrder(flat, 0)).reshape(-1).tolist() != sorted(
        share_hotter(PixelOrder(flat, 0)).reshape(-1)
    )
    assert not np.array_equal(share_hotter(PixelOrder(flat, 0)), share_hotter(PixelOrder(flat, 1)))


def test_similarity_is_of_ranks_and_undefined_for_a_flat_map() -> None:
    one = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert similarity(one, one**3) == pytest.approx(1)
    assert similarity(one, -one) == pytest.approx(-1)
    assert similarity(one, np.full((4, 4), 0.3, np.float32)) is None


@pytest.mark.parametrize("check", [HEAD_RANDOM, ALL_RANDOM])
def test_a_randomised_network_is_another_and_the_trained_one_stays(cnn: ExplainedModel, check: str) -> None:
    before = {name: tensor.clone() for name, tensor in cnn.backbone.module.state_dict().items()}
    state = torch.random.get_rng_state()
    other, again = randomised(check, cnn, 5), randomised(check, cnn, 5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert other.layer.name == cnn.network.layer.name
    assert other.layer.layer is not cnn.network.layer.layer
    drawn = other.module.state_dict()
    assert all(torch.equal(tensor, again.module.state_dict()[name]) for name, tensor in drawn.items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in cnn.backbone.module.state_dict().items())
    same = {name for name in drawn if drawn[name].ndim > 1 and torch.equal(drawn[name], before[name])}
    weights = {name for name in drawn if drawn[name].ndim > 1}
    assert same == (weights - cnn.backbone.head if check == HEAD_RANDOM else set())


def test_maps_of_random_weights_are_others(vit: ExplainedModel) -> None:
    images = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    targets = np.array([0, 1, 2, 3])
    other = randomised(ALL_RANDOM, vit, 5)
    ours = grad_cam(vit.network, images, targets)
    theirs = grad_cam(other, images, targets)
    rho = [similarity(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert any(one is not None and one < 0.9 for one in rho)
