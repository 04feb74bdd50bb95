"""Scoring images exactly: each once, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.data.loading.batches import Input, Part, evaluation_batches
from trainables.data.loading.prefetch import ahead
from trainables.specs import Recipe
from trainables.training import metrics
from trainables.training.distributed import World
from trainables.training.heartbeat import at_once
from trainables.training.train_step import autocast

Logits = NDArray[np.float32]


def evaluate(
    module: nn.Module, part: Part, want: Input, recipe: Recipe, world: World
) -> tuple[Logits, dict[str, float]]:
    """Score every image of a part once, with the network in evaluation mode.

    Returns:
        logits, shape (len(part), classes), in the part's order, on every worker; and loss (plain cross entropy),
        accuracy, f1_macro.
    """
    return at_once(evaluating(module, part, want, recipe, world))


def evaluating(
    module: nn.Module, part: Part, want: Input, recipe: Recipe, world: World
) -> Generator[None, None, tuple[Logits, dict[str, float]]]:
    """Do what ``evaluate`` does, with a pause after each batch: the images of a part may take hours."""
    module.eval()
    logits = yield from scoring(module, part, want, recipe, world)
    return logits, measures(logits, part.labels)


def score(module: nn.Module, part: Part, want: Input, recipe: Recipe, world: World) -> Logits:
    """Return the logits of a part, shape (len(part), classes), with the network as it stands."""
    return at_once(scoring(module, part, want, recipe, world))


def scoring(module: nn.Module, part: Part, want: Input, recipe: Recipe, world: World) -> Generator[None, None, Logits]:
    """Do what ``score`` does, with a pause after each batch."""
    rows: list[Logits] = []
    with ahead(evaluation_batches(part, want, world.share), want.device) as batches:
        for batch in batches:
            with torch.inference_mode(), autocast(want.device, recipe):  # not in the pause: others go on then
                rows.append(module(batch.images).float().cpu().numpy())
            yield
    own = np.concatenate(rows) if rows else np.zeros((0, len(part.data.classes)), dtype=np.float32)
    return world.gathered(own, len(part))


def measures(logits: Logits, labels: NDArray[np.int64]) -> dict[str, float]:
    """Return loss (plain cross entropy, so that recipes can be compared), accuracy and f1_macro."""
    loss = float(nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
    return {"loss": loss, **shown(metrics.confusion(labels, logits.argmax(1), logits.shape[1]))}


def shown(matrix: NDArray[np.int64]) -> dict[str, float]:
    """Return what a history shows of a confusion matrix."""
    all_scores = metrics.summary(matrix)
    return {"accuracy": all_scores["accuracy"], "f1_macro": all_scores["f1_macro"]}


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Within, batch norm uses the statistics of the batch and learns none; all else is in evaluation mode.

    Running averages lag behind weights that change fast, and would bend the curve of a range test.
    """
    module.eval()
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm, {name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)}) for norm in norms]
    for norm in norms:
        norm.train()
    try:
        yield
    finally:
        for norm, buffers in kept:
            for name, buffer in buffers.items():
                getattr(norm, name).copy_(buffer)
