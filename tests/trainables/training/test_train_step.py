"""Tests of the optimisation step: micro-batches, shares, and what happens when memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainables.support.stage_bench import Bench, run
from trainables.data.loading.batches import Batch
from trainables.errors import StageError
from trainables.specs import ModelSpec, Recipe
from trainables.training.distributed import DistributedContext
from trainables.training.train_step import TrainStep

CPU = DistributedContext(torch.device("cpu"))


def batch(images: int = 10, classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (images,), generator=generator)
    return Batch(torch.randn(images, 3, 4, 4, generator=generator), labels, labels.numpy())


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 3))


def stepped(micro_batch: int | None, class_weights: torch.Tensor | None = None, **recipe: Any) -> tuple[Any, ...]:
    stepper = TrainStep(network(), Recipe(**recipe), 0.1, CPU, class_weights, micro_batch)
    losses = [float(stepper.step(batch(), 0.1)[0]) for _ in range(3)]
    return losses, [p.detach() for p in stepper.module.parameters()], stepper.step(batch(), 0.1)[1]


@pytest.mark.parametrize("micro_batch", [1, 3, 4, 9, 10, 99])
@pytest.mark.parametrize(
    ("weights", "recipe"),
    [(None, {}), ([0.5, 1.0, 3.0], {"label_smoothing": 0.1}), (None, {"clip_norm": 0.01, "optimizer": "adamw"})],
)
def test_micro_batches_take_the_step_of_the_whole_batch(
    micro_batch: int, weights: list[float] | None, recipe: dict[str, Any]
) -> None:
    tensor = None if weights is None else torch.tensor(weights)
    losses, parameters, predicted = stepped(None, tensor, **recipe)
    losses_in_pieces, parameters_in_pieces, predicted_in_pieces = stepped(micro_batch, tensor, **recipe)
    assert losses_in_pieces == pytest.approx(losses, rel=1e-5)
    for whole, in_pieces in zip(parameters, parameters_in_pieces, strict=True):
        torch.testing.assert_close(in_pieces, whole, rtol=1e-4, atol=1e-6)
    assert torch.equal(predicted, predicted_in_pieces)


def test_the_parts_of_all_workers_add_up_to_the_loss_of_the_batch() -> None:
    whole = batch(11)
    loss, _ = TrainStep(network(), Recipe(), 0.1, CPU).step(whole, 0.1)
    parts = [Batch(whole.images[r::2], whole.labels[r::2], whole.whole_labels) for r in range(2)]
    assert sum(float(TrainStep(network(), Recipe(), 0.1, CPU).step(part, 0.1)[0]) for part in parts) == pytest.approx(
        float(loss), rel=1e-6
    )


def test_a_compiled_network_learns_alike() -> None:
    losses, _, _ = stepped(None)
    compiled, _, _ = stepped(None, compile=True)
    assert compiled == pytest.approx(losses, rel=1e-4)


GREEDY = """
import torch
from torch import nn
LARGEST = []
class Net(nn.Module):
    def __init__(self, num_classes, most):
        super().__init__()
        self.layer = nn.Linear(3, num_classes)
        self.most = most
    def forward(self, images):
        if self.training:
            LARGEST.append(len(images))
            if len(images) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.layer(images.mean((2, 3)))
"""


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A network whose memory holds so many images."""
    (tmp_path / "greedy_network.py").write_text(GREEDY)
    monkeypatch.syspath_prepend(tmp_path)
    import greedy_network

    greedy_network.LARGEST.clear()
    return greedy_network


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(bench: Bench, tmp_path: Path, greedy: Any) -> None:
    def stage(most: int) -> Any:
        return bench.stage(model=ModelSpec(model="greedy_network:Net", options={"most": most}))

    roomy = run(stage(99), bench.study(tmp_path / "roomy"), bench.runtime)
    tight = run(stage(5), bench.study(tmp_path / "tight"), bench.runtime)
    assert greedy.LARGEST[:2] == [16, 16]
    assert {4, 8, 16} <= set(greedy.LARGEST)
    assert (roomy.result["environment"]["micro_batch"], tight.result["environment"]["micro_batch"]) == (None, 4)
    np.testing.assert_allclose(tight.weights["layer.weight"], roomy.weights["layer.weight"], rtol=1e-4, atol=1e-6)
    log = (tight.folder / "log.txt").read_text()
    assert "out of memory with 16 images at a time: again with 8" in log
    assert "out of memory with 8 images at a time: again with 4" in log
    assert tight.study.folder(tight.stage).failure() is None


def test_no_memory_for_a_single_image_ends_the_stage_with_advice(bench: Bench, tmp_path: Path, greedy: Any) -> None:
    stage = bench.stage(model=ModelSpec(model="greedy_network:Net", options={"most": 0}))
    with pytest.raises(StageError, match="out of memory with one image at a time: .*smaller image_size"):
        run(stage, bench.study(tmp_path), bench.runtime)
