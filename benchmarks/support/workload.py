"""The work that every contestant of ``training.py`` does."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from support import bench, pictures

NETWORKS = {
    "resnet18": "torchvision/resnet18",
    "resnet50": "torchvision/resnet50",
    "vit_s_16": "timm/vit_small_patch16_224",
    "regnet_y_400mf": "torchvision/regnet_y_400mf",
    "squeezenet1_1": "torchvision/squeezenet1_1",
    "convnext_tiny": "torchvision/convnext_tiny",
    "mobilenet_v3_large": "torchvision/mobilenet_v3_large",
}
EDGE, RATE, MOMENTUM = 224, 0.001, 0.9
SCORED_BATCH = 64


@dataclass(frozen=True)
class Work:
    """What every contestant does in a turn.

    Attributes:
        source: folder of the images.
        network: its name in NETWORKS.
        batch: images of a training step.
        steps: training steps.
        rows: the images in random order, by row: the last ``scored`` are scored, the others train.
    """

    source: Path
    network: str
    batch: int
    steps: int
    scored: int

    @classmethod
    def of(cls, asked: Namespace) -> Work:
        """Return the work that the arguments ask for."""
        return cls(pictures.folder(asked.data, asked.images), asked.network, asked.batch, asked.steps, asked.scored)

    @property
    def rows(self) -> Any:
        """All rows, shuffled."""
        return np.random.default_rng(0).permutation(len(list(self.source.rglob("*.jpg"))))

    def backbone(self) -> Any:
        """Return the network with the first weights that all share."""
        import torch

        from trainables.models.backbones import build
        from trainables.specs import ModelSpec

        torch.manual_seed(0)
        classes = sum(1 for _ in self.source.iterdir())
        return build(ModelSpec(model=NETWORKS[self.network]), EDGE, classes)

    def answer(self, training: float, scoring: float, losses: tuple[float, float]) -> bench.Answer:
        """Return what a turn measured.

        Args:
            training: seconds of its training steps.
            scoring: seconds of its scoring.
            losses: mean loss of the first turn's steps, first val loss.
        """
        images = self.steps * self.batch
        return {
            "figure": images / training,
            "evaluation": self.scored / scoring,
            "train_loss": losses[0],
            "val_loss": losses[1],
        }
