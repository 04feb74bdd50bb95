"""What one trained net, or the mean of several, says of images from outside the study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.inference.image_folder import FolderImage
from analysis.inference.trained_model import TrainedModel
from analysis.results.predictions import softmax
from trainables.errors import UserError

BATCH = 64
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class EnsemblePrediction:
    """What the nets say.

    Attributes:
        images: those that decode.
        probabilities: mean over the nets of their softmax, shape (images, classes).
        undecodable: image -> what is wrong with it.
    """

    images: tuple[FolderImage, ...]
    probabilities: Probabilities
    undecodable: dict[str, str]


def predict(members: Sequence[TrainedModel], images: Sequence[FolderImage]) -> EnsemblePrediction:
    """Score images by the mean of the softmax of the members, prepared as in their own evaluation.

    One net after the other, so that only one is in memory; images are decoded anew for each.

    Raises:
        UserError: if the members do not have the same classes, or no image decodes.
    """
    if len({member.classes for member in members}) != 1:
        raise UserError("the nets do not have the same classes, so their probabilities cannot be averaged")
    total: Probabilities | None = None
    undecodable: dict[str, str] = {}
    for member in members:
        undecodable = {}
        logits = list(_logits(member, images, undecodable))
        if not logits:
            first = next(iter(undecodable.items()), ("", "there is none"))
            raise UserError(f"none of {len(images)} images decodes; the first: {first[0]}: {first[1]}")
        probabilities = softmax(np.concatenate(logits)).astype(np.float64)
        total = probabilities if total is None else total + probabilities
    good = tuple(image for image in images if image.image_id not in undecodable)
    mean = np.zeros((0, len(members[0].classes))) if total is None else total / len(members)
    return EnsemblePrediction(good, mean, undecodable)


def _logits(
    member: TrainedModel, images: Sequence[FolderImage], undecodable: dict[str, str]
) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of each batch, shape (up to BATCH, classes)."""
    import torch

    from trainables.data.loading.batches import InputSpec
    from trainables.training.precision import autocast

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone, recipe = member.backbone(), member.stage.recipe
    module = backbone.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    input_spec = InputSpec(recipe.image_size, backbone.mean, backbone.std, device)
    for start in range(0, len(images), BATCH):
        pixels = _prepared(images[start : start + BATCH], member, undecodable)
        if len(pixels):
            with torch.inference_mode(), autocast(device, recipe):
                yield module(input_spec.tensor(pixels)).float().cpu().numpy()


def _prepared(images: Sequence[FolderImage], member: TrainedModel, undecodable: dict[str, str]) -> NDArray[np.uint8]:
    """Return the images as the net's own evaluation makes them, shape (n, edge, edge, 3)."""
    from trainables.data.loading import augment
    from trainables.data.packing.decode import what_is_wrong

    edge = member.stage.recipe.image_size
    ready = []
    for image in images:
        try:
            pixels = _decode(image, member.stage.data.size)
        except Exception as error:  # noqa: BLE001 - decoders raise anything on a file from outside
            undecodable[image.image_id] = what_is_wrong(error)
            continue
        ready.append(augment.apply(pixels[np.newaxis], augment.plain(1, len(pixels), edge), edge)[0])
    return np.stack(ready) if ready else np.zeros((0, edge, edge, 3), np.uint8)


def _decode(image: FolderImage, size: int | None) -> NDArray[np.uint8]:
    """Decode to a square: of the edge that the study packs, or of the image's own shorter side."""
    from trainables.data.packing.decode import decode

    content = image.path.read_bytes()
    pixels = decode(content, size)
    return pixels if pixels.shape[0] == pixels.shape[1] else decode(content, min(pixels.shape[:2]))
