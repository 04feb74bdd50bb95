"""Scoring images exactly: each once, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.compat.torch import batch_norms
from trainables.data.loading.batches import InputSpec, Part, evaluation_batches
from trainables.data.loading.prefetch import prefetch
from trainables.specs import Recipe
from trainables.training import metrics
from trainables.training.distributed import DistributedContext
from trainables.training.heartbeat import without_heartbeat
from trainables.training.train_step import autocast

Logits = NDArray[np.float32]


def evaluate(
    module: nn.Module, part: Part, input_spec: InputSpec, recipe: Recipe, distributed: DistributedContext
) -> tuple[Logits, dict[str, float]]:
    """Score every image of a part once, with the network in evaluation mode.

    Returns:
        logits, shape (len(part), classes), in the part's order, on every worker; and loss (plain cross entropy),
        accuracy, f1_macro.
    """
    return without_heartbeat(evaluating(module, part, input_spec, recipe, distributed))


def evaluating(
    module: nn.Module, part: Part, input_spec: InputSpec, recipe: Recipe, distributed: DistributedContext
) -> Generator[None, None, tuple[Logits, dict[str, float]]]:
    """Do what ``evaluate`` does, with a pause after each batch: the images of a part may take hours."""
    module.eval()
    logits = yield from scoring(module, part, input_spec, recipe, distributed)
    return logits, measures(logits, part.labels)


def score(
    module: nn.Module, part: Part, input_spec: InputSpec, recipe: Recipe, distributed: DistributedContext
) -> Logits:
    """Return the logits of a part, shape (len(part), classes), with the network as it stands."""
    return without_heartbeat(scoring(module, part, input_spec, recipe, distributed))


def scoring(
    module: nn.Module, part: Part, input_spec: InputSpec, recipe: Recipe, distributed: DistributedContext
) -> Generator[None, None, Logits]:
    """Do what ``score`` does, with a pause after each batch."""
    rows: list[Logits] = []
    with prefetch(evaluation_batches(part, input_spec, distributed.share), input_spec.device) as batches:
        for batch in batches:
            with torch.inference_mode(), autocast(input_spec.device, recipe):  # not in the pause: others go on then
                rows.append(module(batch.images).float().cpu().numpy())
            yield
    own = np.concatenate(rows) if rows else np.zeros((0, len(part.data.classes)), dtype=np.float32)
    return distributed.all_gather(own, len(part))


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
    norms = batch_norms(module)
    kept = [(norm, {name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)}) for norm in norms]
    for norm in norms:
        norm.train()
    try:
        yield
    finally:
        for norm, buffers in kept:
            for name, buffer in buffers.items():
                getattr(norm, name).copy_(buffer)
