"""One optimisation step over a batch: micro-batches, precision, the loss of the whole batch, clipping.

The loss is that of the global batch, whatever the number of workers and micro-batches: each adds up its
images, and the sum is divided by what the whole batch weighs. What still differs between widths is rounding,
dropout's random numbers, and batch norm over micro-batches.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from trainables.compat.torch import batch_norms
from trainables.data.loading.batches import Batch
from trainables.specs import Recipe
from trainables.training.distributed import DistributedContext


class StageError(Exception):
    """The stage cannot go on: what happened, where, and what to try."""


class TrainStep:
    """A network on its device, with its optimiser.

    Attributes:
        module: the bare network, whose state is saved and scored.
        optimizer: its optimiser.
    """

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        rate: float,
        distributed: DistributedContext,
        class_weights: torch.Tensor | None = None,
        micro_batch: int | None = None,
    ) -> None:
        """Move the network to the device of ``world`` and prepare it for its workers.

        Args:
            module: the network; changed in place.
            recipe: how it trains.
            rate: start learning rate.
            distributed: the workers of the stage.
            class_weights: shape (classes,); None: all alike.
            micro_batch: images taken at once; None: a worker's whole share.

        Raises:
            StageError: if batch norm would run over several CPU workers. Also at a step, see
                ``_refuse_undefined_gradients``.
        """
        module.to(distributed.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if distributed.device.type == "cpu" and recipe.precision == "bf16":
            _refuse_undefined_gradients(module)
        self.module = with_sync_batch_norm(module, distributed)
        self.optimizer = make_optimizer(self.module, recipe, rate)
        self._network = _wrap_for_workers(self.module, recipe, distributed)
        self._recipe = recipe
        self._world = distributed
        self._weights = None if class_weights is None else class_weights.to(distributed.device)
        self._micro_batch = micro_batch
        self._criterion = nn.CrossEntropyLoss(self._weights, label_smoothing=recipe.label_smoothing, reduction="sum")

    def step(self, batch: Batch, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one step at a learning rate.

        Returns:
            the part of the batch's mean loss that this worker's images make, a scalar; and their predicted
            classes, shape (n,). Both stay on the device, so that nobody waits for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        weight = self._weight(batch.whole_labels)
        size = self._micro_batch or max(len(batch.labels), 1)
        pieces = list(zip(torch.split(batch.images, size), torch.split(batch.labels, size), strict=True))
        losses, predicted = [], []
        for number, (images, labels) in enumerate(pieces, 1):
            with self._synchronising(number == len(pieces)):
                with autocast(self._world.device, self._recipe):
                    logits = self._network(images).float()
                loss = self._criterion(logits, labels) / weight
                # DDP takes the mean over workers of gradients that are to be added up.
                (loss * self._world.size).backward()
            losses.append(loss.detach())
            predicted.append(logits.detach().argmax(1))
        if self._recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self._recipe.clip_norm)
        self.optimizer.step()
        return torch.stack(losses).sum(), torch.cat(predicted)

    def _weight(self, labels: NDArray[Any]) -> float:
        if self._weights is None:
            return float(len(labels))
        return float(self._weights[torch.from_numpy(labels)].sum())

    def _synchronising(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged once a step, with the last micro-batch."""
        if last or self._world.size == 1:
            return nullcontext()
        context: AbstractContextManager[Any] = self._network.no_sync()  # type: ignore[operator]
        return context


def with_sync_batch_norm(module: nn.Module, distributed: DistributedContext) -> nn.Module:
    """Make batch norm see the whole batch of all workers. Never run on GPUs by us.

    Raises:
        StageError: on CPU, where torch has no synchronised batch norm.
    """
    normed = batch_norms(module)
    if distributed.size == 1 or not normed:
        return module
    if distributed.device.type != "cuda":
        raise StageError(
            f"the network has {len(normed)} batch norm layers, and torch synchronises them over several workers on "
            "GPUs only: run this stage on one worker"
        )
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted


def _refuse_undefined_gradients(module: nn.Module) -> None:
    """Stop where torch's bf16 gradient of a convolution is read from memory nobody wrote.

    So it is on CPUs that compute in bf16 (torch 2.14, oneDNN, AMX) where a kernel wider than one pixel steps by more than
    one over a map of a single pixel across: sometimes not a number, sometimes only wrong. Tested by hand for maps of 1
    to 4 pixels, kernels of 1 to 7 and steps of 1 and 2: nothing else was off.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1 and max(layer.stride) > 1:
            layer.register_forward_pre_hook(partial(_refuse_one_pixel, name))


def _refuse_one_pixel(name: str, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    if inputs[0].shape[-1] == 1:
        raise StageError(
            f"the convolution {name} steps over a map one pixel wide, and torch's bf16 gradient of that is undefined on "
            "a CPU: take a larger image_size, or precision: float32"
        )


def _wrap_for_workers(module: nn.Module, recipe: Recipe, distributed: DistributedContext) -> nn.Module:
    network = module
    if distributed.size > 1:
        devices = [distributed.device] if distributed.device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(module, device_ids=devices)
    return torch.compile(network) if recipe.compile else network  # type: ignore[return-value]


def make_optimizer(module: nn.Module, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; its fused form on a GPU."""
    fused = next(module.parameters()).is_cuda
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            module.parameters(), rate, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        module.parameters(), rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused
    )


def autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    """Return the context in which the network runs in the recipe's precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16")
