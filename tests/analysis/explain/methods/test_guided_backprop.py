"""Tests of guided back-propagation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import nn
from torchvision import models

from analysis.explain.methods.guided_backprop import guided_gradient

TARGETS = np.array([2, 0])


def images(edge: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, edge, edge, generator=torch.Generator().manual_seed(0))


def plain(module: nn.Module, given: torch.Tensor) -> np.ndarray:
    pixels = given.clone().requires_grad_()
    module.eval()(pixels)[[0, 1], TARGETS].sum().backward()
    assert pixels.grad is not None
    return pixels.grad.numpy()


class Net(nn.Module):
    """One that rectifies as it is told."""

    def __init__(self, activation: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 3)
        self.activation = activation

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        assert callable(self.activation)
        inner = self.activation(self.second(self.activation(self.first(given))))
        return self.head(inner.mean((2, 3)))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_where_relus_are_modules_it_is_what_pytorch_grad_cam_gives(name: str) -> None:
    torch.manual_seed(0)
    module = models.get_model(name, weights=None, num_classes=3).eval()
    found, words = guided_gradient(module, images(), TARGETS)
    library = GuidedBackpropReLUModel(copy.deepcopy(module), "cpu")
    expected = [library(one[None].clone(), int(t)).transpose(2, 0, 1) for one, t in zip(images(), TARGETS, strict=True)]
    assert np.allclose(found, np.stack(expected), atol=1e-6 * np.abs(found).max())
    assert not np.allclose(found, plain(module, images()), atol=0.1 * np.abs(found).max())
    assert words == "guided back-propagation through ReLU"


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu, lambda x: x.relu_()])
def test_it_is_the_same_however_a_network_calls_it(relu: object) -> None:
    expected, _ = guided_gradient(Net(nn.ReLU()), images(16), TARGETS)
    found, words = guided_gradient(Net(relu), images(16), TARGETS)
    assert np.array_equal(found, expected)
    assert words == "guided back-propagation through ReLU"


def test_a_ceiling_stays_one() -> None:
    ceiling = Net(nn.ReLU6())
    with torch.no_grad():
        ceiling.first.weight *= 20  # many values above 6
    found, words = guided_gradient(ceiling, images(16), TARGETS)
    uncapped = Net(nn.ReLU())
    uncapped.load_state_dict(ceiling.state_dict())
    assert words == "guided back-propagation through ReLU6"
    assert not np.allclose(found, guided_gradient(uncapped, images(16), TARGETS)[0])
    assert guided_gradient(Net(nn.Hardtanh()), images(16), TARGETS)[1].startswith("plain gradient")


def test_without_a_relu_it_is_the_plain_gradient_and_says_so() -> None:
    found, words = guided_gradient(Net(nn.GELU()), images(16), TARGETS)
    assert np.allclose(found, plain(Net(nn.GELU()), images(16)), atol=1e-7)
    assert words == "plain gradient: guided back-propagation is defined for ReLU, this network has GELU"


def test_a_mixture_is_named() -> None:
    mixed = Net(lambda x: F.silu(F.relu(x)))
    assert (
        guided_gradient(mixed, images(16), TARGETS)[1] == "gradient guided at ReLU only: this network has SiLU as well"
    )


def test_the_network_is_left_as_it_was() -> None:
    module = Net(nn.ReLU()).train()
    guided_gradient(module, images(16), TARGETS)
    assert module.training
    assert type(module.activation) is nn.ReLU
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert np.allclose(plain(module, images(16)), plain(Net(nn.ReLU()), images(16)))
