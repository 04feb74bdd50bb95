"""Tests of the maps themselves, on a network whose answer is known."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from analysis.explain.methods.explained_model import ExplainedModel
from analysis.explain.methods.grad_cam import grad_cam
from analysis.explain.methods.heat_maps import centred_gaussian, enlarge, is_flat, random_map
from analysis.explain.methods.registry import METHODS
from analysis.explain.methods.target_layer import CamNetwork, cam_layer
from analysis.explain.records.records import GRADCAM, PLUS_PLUS
from trainables.specs import ModelSpec

RED, BLUE = 0, 1


class Colours(nn.Module):
    """Class 0 is how much red there is, class 1 how much blue: in places of 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 8, stride=8, bias=False)
        self.out = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.features.weight.zero_()
            self.features.weight[0, 0] = self.features.weight[1, 2] = 1 / 64
            self.out.weight.copy_(torch.eye(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(self.features(images).mean((2, 3)))


def colours() -> CamNetwork:
    module = Colours()
    return CamNetwork(module, cam_layer(ModelSpec(model="tests:Colours"), module, 32))


def picture() -> torch.Tensor:
    """Red at the top right, blue at the bottom left."""
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0, :8, 24:] = 1
    image[0, 2, 24:, :8] = 1
    return image


@pytest.mark.parametrize("method", [GRADCAM, PLUS_PLUS])
def test_heat_lies_where_the_class_is(method: str) -> None:
    both = picture().expand(2, -1, -1, -1)
    red, blue = METHODS[method](colours(), both, np.array([RED, BLUE]))
    expected = np.zeros((4, 4), np.float32)
    expected[0, 3] = 1
    assert np.allclose(red, expected, atol=1e-5)
    assert np.allclose(blue, expected.T, atol=1e-5)


def test_a_map_of_nothing_is_flat_and_stays_so() -> None:
    nothing = grad_cam(colours(), torch.zeros(1, 3, 32, 32), np.array([RED]))
    assert is_flat(nothing[0])
    assert not enlarge(nothing, 32).any()


def test_maps_of_a_batch_are_those_of_its_images(cnn: ExplainedModel) -> None:
    tensor = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    targets = np.array([0, 1, 2])
    for method in (GRADCAM, PLUS_PLUS):
        together = METHODS[method](cnn.network, tensor, targets)
        alone = [METHODS[method](cnn.network, tensor[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
        assert together.shape == (3, *cnn.network.layer.grid)
        assert np.allclose(together, alone, atol=1e-3)


class Marked(torch.autograd.Function):
    """Passes on what it is given; tells when its place in the graph is gone."""

    nodes: ClassVar[list[weakref.ref[object]]] = []

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor) -> torch.Tensor:
        Marked.nodes.append(weakref.ref(ctx))
        return given.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def test_no_hook_no_graph_and_no_gradient_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    network = colours()
    network.module.train()
    monkeypatch.setattr(Colours, "forward", lambda self, x: self.out(Marked.apply(self.features(x)).mean((2, 3))))
    grad_cam(network, picture(), np.array([RED]))
    assert network.module.training
    assert all(p.grad is None and p.requires_grad for p in network.module.parameters())
    assert not any(one._forward_hooks for one in network.module.modules())
    gc.collect()
    assert len(Marked.nodes) == 1
    assert Marked.nodes[0]() is None


def test_an_error_in_the_network_is_not_swallowed_and_leaves_no_hook() -> None:
    network = colours()
    with pytest.raises(IndexError) as caught:  # which the library's own context manager would print, and go on
        grad_cam(network, picture(), np.array([7]))
    assert caught.tb is not None  # it holds the library's object, which else releases its hooks when it dies
    assert not any(one._forward_hooks for one in network.module.modules())


def test_an_enlarged_map_keeps_its_place_and_its_top() -> None:
    small = np.zeros((1, 4, 4), np.float32)
    small[0, 0, 3] = 0.5
    large = enlarge(small, 32)[0]
    assert large.shape == (32, 32)
    assert large.max() == 1
    assert np.all(large[:8, 28:] > 0)
    assert not large[16:].any()


def test_maps_that_know_nothing() -> None:
    gaussian = centred_gaussian(33)
    assert gaussian[16, 16] == gaussian.max() == 1
    assert np.allclose(gaussian, gaussian.T)
    assert np.allclose(gaussian, gaussian[::-1, ::-1])
    first, again, other = random_map((4, 4), 32, 0), random_map((4, 4), 32, 0), random_map((4, 4), 32, 1)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
