"""One optimisation step over a batch: micro-batches, precision, the loss of the whole batch, clipping.

The loss is that of the global batch, whatever the number of workers and micro-batches: each adds up its
images, and the sum is divided by what the whole batch weighs. What still differs between numbers of workers is
rounding, dropout's random numbers, and batch norm over micro-batches.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from trainables.data.loading.batches import Batch
from trainables.specs import Recipe
from trainables.training.distributed import DistributedContext, data_parallel, with_sync_batch_norm
from trainables.training.loss import BatchLoss
from trainables.training.optimizers.base import make_optimizer
from trainables.training.precision import autocast, refuse_undefined_gradients


class TrainStep:
    """A network on its device, with its optimizer.

    Attributes:
        module: the bare network, whose state is saved and scored.
        optimizer: its optimizer.
        recipe: how it trains.
        distributed: the workers of the stage.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        learning_rate: float,
        distributed: DistributedContext,
        class_weights: torch.Tensor | None = None,
        micro_batch: int | None = None,
    ) -> None:
        """Move the network to the device and prepare it for its workers.

        Args:
            module: the network; changed in place.
            recipe: how it trains.
            learning_rate: start learning rate.
            distributed: the workers of the stage; this one's device.
            class_weights: shape (classes,); None: all alike.
            micro_batch: images a worker takes at once; None: its whole share.

        Raises:
            StageError: if batch norm would run over several CPU workers. Also at a step, see
                ``refuse_undefined_gradients``.
            UserError: if there is no such optimizer.
        """
        module.to(distributed.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if distributed.device.type == "cpu" and recipe.precision == "bf16":
            refuse_undefined_gradients(module)
        self.recipe, self.distributed = recipe, distributed
        self.module = with_sync_batch_norm(module, distributed)
        self.optimizer = make_optimizer(self.module, recipe, learning_rate)
        self._network = data_parallel(self.module, distributed)
        if recipe.compile:
            self._network = torch.compile(self._network)  # type: ignore[assignment]
        self._loss = BatchLoss(recipe, class_weights, distributed.device)
        self._micro_batch = micro_batch

    def step(self, batch: Batch, learning_rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one step.

        Args:
            batch: this worker's share.
            learning_rate: of this step.

        Returns:
            what this worker's images add to the batch's mean loss, a scalar; and their predicted classes, shape (n,).
            Both stay on the device, so that nobody waits for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        weight = self._loss.batch_weight(batch.whole_labels)
        size = self._micro_batch or max(len(batch.labels), 1)
        pieces = list(zip(torch.split(batch.images, size), torch.split(batch.labels, size), strict=True))
        losses, predicted = [], []
        for number, (images, labels) in enumerate(pieces, 1):
            with self._synchronising(number == len(pieces)):
                with autocast(self.distributed.device, self.recipe):
                    logits = self._network(images).float()
                loss = self._loss.piece(logits, labels, weight)
                # DDP takes the mean over workers of gradients that are to be added up.
                (loss * self.distributed.size).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            predicted.append(logits.detach().argmax(1))
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        return torch.stack(losses).sum(), torch.cat(predicted)

    def _synchronising(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged once a step, with the last micro-batch."""
        if last or self.distributed.size == 1:
            return nullcontext()
        context: AbstractContextManager[Any] = self._network.no_sync()  # type: ignore[operator]
        return context
