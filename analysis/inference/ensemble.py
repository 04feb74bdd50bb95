"""Predictions for images from outside the study, by one trained network or the mean of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.inference.image_folder import FolderImage, read_square
from analysis.inference.trained_model import TrainedModel, inference_device
from analysis.results.predictions import softmax
from trainables.arrays import Floats, Pixels
from trainables.errors import UserError

BATCH = 64


@dataclass(frozen=True)
class EnsemblePrediction:
    """Predicted probabilities.

    Attributes:
        images: the images that could be decoded.
        probabilities: mean over the networks of their softmax, shape (images, classes).
        undecodable: id of an image that cannot be decoded -> why.
    """

    images: tuple[FolderImage, ...]
    probabilities: Floats
    undecodable: dict[str, str]


def predict(members: Sequence[TrainedModel], images: Sequence[FolderImage]) -> EnsemblePrediction:
    """Predict by the mean of the softmax of several networks, with images prepared as in their own evaluation.

    Networks run one after the other, so that one is in memory at a time; images are decoded again for each.

    Args:
        members: at least one network.
        images: to predict.

    Raises:
        UserError: if the networks do not have the same classes, or no image can be decoded.
    """
    if len({member.classes for member in members}) != 1:
        raise UserError("the nets do not have the same classes, so their probabilities cannot be averaged")
    total: Floats = np.zeros(())
    undecodable: dict[str, str] = {}
    for member in members:
        undecodable = {}
        logits = list(_logits(member, images, undecodable))
        if not logits:
            first = next(iter(undecodable.items()), ("", "there is none"))
            raise UserError(f"none of {len(images)} images decodes; the first: {first[0]}: {first[1]}")
        total = total + softmax(np.concatenate(logits)).astype(np.float64)
    decoded = tuple(image for image in images if image.image_id not in undecodable)
    return EnsemblePrediction(decoded, total / len(members), undecodable)


def _logits(
    member: TrainedModel, images: Sequence[FolderImage], undecodable: dict[str, str]
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of each batch, shape (up to BATCH, classes)."""
    import torch

    from trainables.data.loading.batches import InputSpec
    from trainables.training.precision import autocast

    device = inference_device()
    backbone, recipe = member.backbone(), member.stage.recipe
    module = backbone.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    input_spec = InputSpec(recipe.image_size, backbone.mean, backbone.std, device)
    for start in range(0, len(images), BATCH):
        pixels = _prepared(images[start : start + BATCH], member, undecodable)
        if len(pixels):
            with torch.inference_mode(), autocast(device, recipe):
                yield module(input_spec.tensor(pixels)).float().cpu().numpy()


def _prepared(images: Sequence[FolderImage], member: TrainedModel, undecodable: dict[str, str]) -> Pixels:
    """Return the images as the network's own evaluation prepares them, shape (n, edge, edge, 3)."""
    from trainables.data.loading import augment
    from trainables.data.packing.decode import what_is_wrong

    edge = member.stage.recipe.image_size
    ready = []
    for image in images:
        try:
            pixels = read_square(image.path, member.stage.data.size)
        except Exception as error:  # noqa: BLE001 - decoders may raise anything on a foreign file
            undecodable[image.image_id] = what_is_wrong(error)
            continue
        ready.append(augment.apply(pixels[np.newaxis], augment.plain(1, len(pixels), edge), edge)[0])
    return np.stack(ready) if ready else np.zeros((0, edge, edge, 3), np.uint8)
