"""One forward pass of a network as a stage will train it: what is wrong with it is found before any stage starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from trainables.errors import UserError
from trainables.models.backbones import build
from trainables.models.complexity import forward_cost
from trainables.models.weights import read_weights
from trainables.specs import ModelSpec

MOST_GFLOP = 300.0
"""10^9 multiply-adds of a pass that is made whole: seconds on a few cores. Of a larger batch some images do."""
NOT_A_TENSOR = (
    "it returns {found} and not one tensor of logits. A stage trains on logits of shape (images, classes): wrap the network "
    "in a class whose forward returns these"
)


def try_batches(spec: ModelSpec, edge: int, classes: int, batches: Sequence[int], weights: Path | None) -> None:
    """Build a network, load its initial weights, and have it look at noise, in training and in evaluation mode.

    Args:
        spec: the network.
        edge: of its input, pixels.
        classes: of the data.
        batches: images at once: of a whole batch, and of what is left of one.
        weights: file of initial weights; None: random.

    Raises:
        UserError: if it cannot be built, the weights do not fit, or it does not return finite logits.
    """
    torch.manual_seed(0)
    backbone = build(spec, edge, classes)
    if weights is not None:
        backbone.load_backbone(read_weights(weights), str(weights))
    for batch in batches:
        _try(backbone.module.train(), _affordable(spec, edge, classes, batch), edge, classes)
    _try(backbone.module.eval(), 1, edge, classes)


def _affordable(spec: ModelSpec, edge: int, classes: int, batch: int) -> int:
    """Return how many images of a batch a pass is made of: all, or at least two."""
    if batch <= 2:
        return batch
    from trainables.models.backbones import construct_shapes

    per_image = forward_cost(construct_shapes(spec, edge, classes), edge, "meta")[0]
    return batch if not per_image else max(2, min(batch, int(MOST_GFLOP / per_image)))


def _try(module: nn.Module, images: int, edge: int, classes: int) -> None:
    noise = torch.randn(images, 3, edge, edge).to(memory_format=torch.channels_last)
    what = f"{images} image{'' if images == 1 else 's'} of {edge} px"
    try:
        with torch.no_grad():
            logits = module(noise)
    except Exception as error:
        raise UserError(f"a batch of {what} (3 channels) fails: {_reason(error)}") from error
    if not isinstance(logits, torch.Tensor):
        raise UserError(NOT_A_TENSOR.format(found=_kind(logits)))
    if tuple(logits.shape) != (images, classes):
        raise UserError(
            f"for {what} it returns a tensor of shape {tuple(logits.shape)}, wanted ({images}, {classes}): a logit for each "
            "image and class. Its constructor is given num_classes"
        )
    if not logits.isfinite().all():
        raise UserError(f"for {what} of noise its logits are not finite: its weights, or a layer, give NaN or infinity")


def _kind(found: object) -> str:
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of {len(found)}"
    return f"a {type(found).__name__}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or "it says no more"
    if "more than 1 value per channel" in text:
        return (
            "batch norm in training needs more than one value of a channel, and here has one. Take a larger batch_size or "
            f"micro_batch, or a larger image_size ({text})"
        )
    hint = ". Does image_size suit the network, and does it take 3 channels?"
    return f"{type(error).__name__}: {text[:400]}{hint}"
