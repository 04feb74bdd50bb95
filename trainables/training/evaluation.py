"""Scoring images exactly: each once, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.arrays import Ints
from trainables.compat.torch import batch_norms
from trainables.data.loading.batches import InputSpec, Part, evaluation_batches
from trainables.data.loading.prefetch import prefetch
from trainables.specs import Recipe
from trainables.training.distributed import DistributedContext
from trainables.training.metrics import confusion, history_metrics, requested
from trainables.training.precision import autocast

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Evaluator:
    """How a stage scores images.

    Both methods are generators that pause after each batch, since the images of a part may take hours; see
    ``with_heartbeat`` and ``without_heartbeat``. Collective: every worker must run them.

    Attributes:
        input_spec: what the network wants to see, and where.
        recipe: its precision, and the metrics that it asks for.
        distributed: the workers of the stage.
    """

    input_spec: InputSpec
    recipe: Recipe
    distributed: DistributedContext

    def evaluate(self, module: nn.Module, part: Part) -> Generator[None, None, tuple[Logits, dict[str, float]]]:
        """Score a part with the network in evaluation mode.

        Args:
            module: the network.
            part: the images.

        Returns:
            logits, as of ``score``; and loss (plain cross entropy), accuracy, f1_macro and the recipe's metrics.
        """
        module.eval()
        logits = yield from self.score(module, part)
        labels = part.labels
        return logits, {**plain_metrics(logits, labels), **requested(self.recipe.metrics, labels, logits)}

    def score(self, module: nn.Module, part: Part) -> Generator[None, None, Logits]:
        """Score a part with the network as it stands.

        Args:
            module: the network.
            part: the images.

        Returns:
            logits, shape (len(part), classes), in the part's order, on every worker.
        """
        rows: list[Logits] = []
        device = self.input_spec.device
        with prefetch(evaluation_batches(part, self.input_spec, self.distributed.share), device) as batches:
            for batch in batches:
                with torch.inference_mode(), autocast(device, self.recipe):  # not in the pause: others go on then
                    rows.append(module(batch.images).float().cpu().numpy())
                yield
        own = np.concatenate(rows) if rows else np.zeros((0, len(part.data.classes)), dtype=np.float32)
        return self.distributed.all_gather(own, len(part))


def plain_metrics(logits: Logits, labels: Ints) -> dict[str, float]:
    """Return loss (plain cross entropy, so that recipes can be compared), accuracy and f1_macro.

    Args:
        logits: shape (n, classes).
        labels: the true classes, shape (n,).
    """
    loss = float(nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
    return {"loss": loss, **history_metrics(confusion(labels, logits.argmax(1), logits.shape[1]))}


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
