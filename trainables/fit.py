"""Training with selection on val: the epochs of one stage. The test part is not known here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables import scores
from trainables.backbones import Backbone, State
from trainables.data.batches import Input, Part, evaluation_batches, steps_per_epoch, training_batches
from trainables.decay import rate_factor
from trainables.identity import derive_seed
from trainables.specs import Recipe

Logits = NDArray[np.float32]


class StageError(Exception):
    """The stage cannot go on: what happened, where, and what to try."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed. ``train`` and ``val``: loss, accuracy, f1_macro."""

    epoch: int
    train: dict[str, float]
    val: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass
class Training:
    """A network in training, with the best epoch so far.

    Attributes:
        epochs: all finished epochs.
        best_state: the weights after the epoch of the highest val f1_macro (the earliest on a tie).
    """

    backbone: Backbone
    recipe: Recipe
    learning_rate: float
    seed: int
    fold: int | None
    want: Input
    train: Part
    val: Part
    epochs: list[Epoch] = field(default_factory=list)
    best_state: State = field(default_factory=dict)
    _optimizer: torch.optim.Optimizer = field(init=False, repr=False)

    @property
    def best(self) -> Epoch:
        """The selected epoch: highest val f1_macro, the earliest on a tie."""
        return max(self.epochs, key=lambda e: (e.val["f1_macro"], -e.epoch))

    def run(self, state: dict[str, Any] | None = None) -> Iterator[Epoch]:
        """Train epoch by epoch; yield what each showed. From a ``state``, go on after its last epoch.

        Raises:
            StageError: if the loss is not finite.
        """
        module = self.backbone.module.to(self.want.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = optimizer = _optimizer(module, self.recipe, self.learning_rate)
        if state is not None:
            self._restore(state)
        criterion = nn.CrossEntropyLoss(weight=self._class_weights(), label_smoothing=self.recipe.label_smoothing)
        while not self._is_over:
            epoch = self._epoch(len(self.epochs), module, optimizer, criterion)
            self.epochs.append(epoch)
            if self.best is epoch:
                self.best_state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
            yield epoch

    @property
    def _is_over(self) -> bool:
        """Whether all epochs are done, or the last ``patience`` of them brought no better val score."""
        patience = self.recipe.patience
        idle = len(self.epochs) - 1 - self.best.epoch if self.epochs else 0
        return len(self.epochs) >= self.recipe.epochs or (patience is not None and idle >= patience)

    def state(self) -> dict[str, Any]:
        """Return all that ``run`` needs to go on: tensors and plain values."""
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "weights": self.backbone.module.state_dict(),
            "best_weights": self.best_state,
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.backbone.module.load_state_dict(state["weights"])
        self.best_state = state["best_weights"]
        self._optimizer.load_state_dict(state["optimizer"])

    def _epoch(self, number: int, module: nn.Module, optimizer: torch.optim.Optimizer, criterion: nn.Module) -> Epoch:
        # Seeded anew each epoch: a resumed stage draws the same dropout without any saved random state.
        torch.manual_seed(derive_seed("network", self.seed, self.fold, number))
        started = time.perf_counter()
        train, rate = self._train(number, module, optimizer, criterion)
        seconds = time.perf_counter() - started
        _, val = evaluate(module, self.val, self.want, self.recipe)
        _refuse_divergence("val loss", val["loss"], f"after epoch {number}", rate)
        images = train.pop("images")
        return Epoch(number, train, val, rate, images / seconds, time.perf_counter() - started)

    def _train(
        self, number: int, module: nn.Module, optimizer: torch.optim.Optimizer, criterion: nn.Module
    ) -> tuple[dict[str, float], float]:
        module.train()
        steps = steps_per_epoch(len(self.train), self.recipe.batch_size)
        val_scores = [epoch.val["f1_macro"] for epoch in self.epochs]
        loss_sum, rate = 0.0, 0.0
        matrix = np.zeros((self._classes, self._classes), dtype=np.int64)
        batches = training_batches(
            self.train, self.want, self.recipe.augmentation, self.recipe.batch_size, self.seed, self.fold, number
        )
        for step, (images, labels, _) in enumerate(batches):
            rate = self.learning_rate * rate_factor(self.recipe, number * steps + step, steps, val_scores)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with autocast(self.want.device, self.recipe):
                logits = module(images).float()
            loss = criterion(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), self.recipe.clip_norm)
            optimizer.step()
            value = float(loss.detach())
            _refuse_divergence("loss", value, f"in epoch {number}, step {step}", rate)
            loss_sum += value * len(labels)
            matrix += scores.confusion(labels.cpu().numpy(), logits.detach().argmax(1).cpu().numpy(), self._classes)
        seen = int(matrix.sum())
        return {"loss": loss_sum / seen, **_shown(matrix), "images": float(seen)}, rate

    @property
    def _classes(self) -> int:
        return len(self.train.data.classes)

    def _class_weights(self) -> torch.Tensor | None:
        if self.recipe.class_weights == "none":
            return None
        counts = np.bincount(self.train.labels, minlength=self._classes)
        weights = len(self.train) / (self._classes * np.maximum(counts, 1))
        return torch.tensor(weights, dtype=torch.float32, device=self.want.device)


def evaluate(module: nn.Module, part: Part, want: Input, recipe: Recipe) -> tuple[Logits, dict[str, float]]:
    """Score every image of a part once.

    Returns:
        logits, shape (len(part), classes), in the part's order; and loss (plain cross entropy), accuracy, f1_macro.
    """
    module.eval()
    rows: list[Logits] = []
    with torch.inference_mode(), autocast(want.device, recipe):
        for images, _, _ in evaluation_batches(part, want):
            rows.append(module(images).float().cpu().numpy())
    logits = np.concatenate(rows)
    labels = part.labels
    loss = float(nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
    return logits, {"loss": loss, **_shown(scores.confusion(labels, logits.argmax(1), logits.shape[1]))}


def _refuse_divergence(what: str, value: float, when: str, rate: float) -> None:
    if not math.isfinite(value):
        raise StageError(
            f"the {what} became {value} {when}, at learning rate {rate:g}. Take a lower rate, warm-up, or clip_norm"
        )


def autocast(device: torch.device, recipe: Recipe) -> torch.autocast:
    """Return the context in which the network runs in the recipe's precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=recipe.precision == "bf16")


def _optimizer(module: nn.Module, recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    fused = next(module.parameters()).is_cuda
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            module.parameters(), rate, betas=(recipe.momentum, 0.999), weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        module.parameters(), rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused
    )


def _shown(matrix: NDArray[np.int64]) -> dict[str, float]:
    all_scores = scores.summary(matrix)
    return {"accuracy": all_scores["accuracy"], "f1_macro": all_scores["f1_macro"]}
