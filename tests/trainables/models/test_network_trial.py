"""One forward pass before any stage: it is made as a stage trains, and what comes out is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.models.network_trial import try_batches
from trainables.specs import ModelSpec

OWN = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes, norm=False, worst=0.0, only_training=False):
        super().__init__()
        self.norm = nn.BatchNorm1d(3) if norm else nn.Identity()
        self.out = nn.Linear(3, num_classes)
        self.worst, self.only_training = float(worst), only_training
    def forward(self, images):
        logits = self.out(self.norm(images.mean((2, 3))))
        return logits + self.worst if self.training or not self.only_training else logits.sum()
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with a user's network."""
    (tmp_path / "tried_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def attempt(batches: list[int], **options: object) -> None:
    try_batches(ModelSpec.model_validate({"model": "tried_nets:Net", "options": options}), 32, 4, batches, None)


def test_batch_norm_on_one_value_is_found_since_the_pass_is_one_of_training() -> None:
    attempt([8], norm=True)
    attempt([1])
    with pytest.raises(UserError, match="1 image of 32 px .*batch norm in training needs more than one value"):
        attempt([1], norm=True)
    with pytest.raises(UserError, match="1 image of 32 px .*batch norm in training needs more than one value"):
        attempt([8, 1], norm=True)


@pytest.mark.parametrize("worst", ["nan", "inf", "-inf"])
def test_logits_that_are_no_numbers_are_told(worst: str) -> None:
    with pytest.raises(UserError, match="for 8 images of 32 px of noise its logits are not finite"):
        attempt([8], worst=worst)


def test_evaluation_is_tried_as_well_as_training() -> None:
    with pytest.raises(UserError, match=r"for 1 image of 32 px it returns a tensor of shape \(\), wanted \(1, 4\)"):
        attempt([8], only_training=True)
