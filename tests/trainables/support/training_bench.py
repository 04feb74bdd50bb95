"""A training of some seconds: images of three colours, small networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from trainables.data.loading.batches import InputSpec, Part, TrainingBatches
from trainables.data.packing.prepare import Packed
from trainables.models.backbones import build
from trainables.specs import Augmentation, ModelSpec, Recipe
from trainables.training.distributed import DistributedContext
from trainables.training.evaluation import Evaluator
from trainables.training.heartbeat import RateLimiter, without_heartbeat
from trainables.training.loss import class_weights
from trainables.training.train_step import TrainStep
from trainables.training.trainer import Trainer

EDGE = 16
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]], dtype=np.uint8)
PLAIN = Augmentation(flip=False, rotate=0, scale=0, shift=0, brightness=0, contrast=0, saturation=0, stain=0)
CPU = DistributedContext(torch.device("cpu"))
WANT = InputSpec(EDGE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), CPU.device)


class Linear(nn.Module):
    """The least network there is: a layer on the mean colour."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(3, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean((2, 3)))


class Constant(nn.Module):
    """Says the same whatever it sees."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def build_resnet(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(ModelSpec(model="timm/test_resnet"), EDGE, 3).module


def make_coloured(in_memory: Callable[..., Packed]) -> Packed:
    """60 images of three classes: noise about a red, a green, a blue."""
    labels = np.arange(60) % 3
    noise = np.random.default_rng(0).integers(-50, 50, (60, EDGE, EDGE, 3))
    images = (COLOURS[labels][:, None, None, :] + noise).clip(0, 255).astype(np.uint8)
    return in_memory(labels.tolist(), images=images)


def training(data: Packed, module: nn.Module | None = None, **fields: Any) -> Trainer:
    """Train on 40 images, choose on 20."""
    recipe = {"image_size": EDGE, "epochs": 3, "batch_size": 8, "augmentation": PLAIN} | fields.pop("recipe", {})
    if module is None:
        torch.manual_seed(0)
        module = Linear()
    spec = Recipe(**recipe)
    train, rate = fields.pop("train", Part(data, np.arange(40))), fields.pop("learning_rate", 0.05)
    step = TrainStep(module, spec, rate, fields.pop("distributed", CPU), class_weights(spec, train))
    seed, fold = fields.pop("seed", 0), fields.pop("fold", 0)
    batches = TrainingBatches(
        train, fields.pop("input_spec", WANT), spec.augmentation, spec.batch_size, seed=seed, fold=fold
    )
    return Trainer(step, batches, Part(data, np.arange(40, 60)), rate, RateLimiter(math.inf), **fields)


def evaluate(module: nn.Module, part: Part) -> tuple[np.ndarray, dict[str, float]]:
    return without_heartbeat(Evaluator(WANT, Recipe(), CPU).evaluate(module, part))


def tensors(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.train_step.module.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
