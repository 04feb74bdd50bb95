"""Random changes of training images: drawn for each image by itself, applied to a whole batch.

The numbers of an image come from (seed, fold, epoch, image) alone, through a counter-based hash. So they
are the same for every scenario and rate, in any order, on any number of workers: cells are paired.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.arrays import Floats, Pixels
from trainables.data.loading.augmentations.base import DrawnOperation, augmentations
from trainables.hashing import derive_seed
from trainables.specs import Augmentation

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""


@dataclass(frozen=True)
class AugmentParameters:
    """What is done to each image of a batch of n.

    Attributes:
        affine: shape (n, 2, 3): maps an output pixel (x, y, 1) to the input pixel it is read from.
        colour: shape (n, 3, 4): maps an input colour (r, g, b, 1) in [0, 255] to the output colour.
        operations: what is done after these two, in this order.
    """

    affine: Floats
    colour: Floats
    operations: tuple[DrawnOperation, ...] = ()


def uniforms(seed: int, image_numbers: NDArray[np.uint64], count: int) -> Floats:
    """Return random numbers for each image: SplitMix64 (Steele, Lea, Flood 2014) of seed, image and position.

    There is no state, so an image has the same numbers in any batch and any order.

    Args:
        seed: in [0, 2**64).
        image_numbers: shape (n,), see ``Packed.image_numbers``.
        count: how many numbers for each image.

    Returns:
        numbers in [0, 1), shape (n, count).
    """
    with np.errstate(over="ignore"):
        state = _mix(image_numbers ^ _mix(np.array(seed, dtype=np.uint64)))
        positions = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = _mix(state[:, np.newaxis] + positions)
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def draw(
    spec: Augmentation, seed: int, image_numbers: NDArray[np.uint64], source: int, target: int
) -> AugmentParameters:
    """Draw the changes of a batch of n images.

    Args:
        spec: how large the changes may be, and which operations follow.
        seed: from the study's seed, the fold and the epoch.
        image_numbers: shape (n,), see ``Packed.image_numbers``.
        source: edge of the packed images, pixels.
        target: edge of the images wanted, pixels.

    Raises:
        UserError: if there is no such operation.
    """
    u = uniforms(seed, image_numbers, 12)
    signed = 2 * u - 1
    flip = np.where(u[:, :2] < 0.5, -1.0, 1.0) if spec.flip else np.ones((len(u), 2))
    angle = np.deg2rad(spec.rotate) * signed[:, 2]
    zoom = 1 + spec.scale * signed[:, 3]
    shift = spec.shift * source * signed[:, 4:6]
    colour = _colour(
        1 + spec.brightness * signed[:, 6],
        1 + spec.contrast * signed[:, 7],
        1 + spec.saturation * signed[:, 8],
        1 + spec.stain * signed[:, 9:12],
    )
    affine = _affine(flip, angle, zoom, shift, source, target)
    return AugmentParameters(affine, colour, _operations(spec, seed, image_numbers))


def _operations(spec: Augmentation, seed: int, image_numbers: NDArray[np.uint64]) -> tuple[DrawnOperation, ...]:
    """Draw for each operation by its place and name: so one more leaves the numbers of those before it alone."""
    drawn = []
    for place, operation in enumerate(spec.operations):
        entry = augmentations[operation.name].model_validate(operation.options)
        own_seed = derive_seed("operation", seed, place, operation.name)
        drawn.append(DrawnOperation(entry, uniforms(own_seed, image_numbers, entry.draws)))
    return tuple(drawn)


def plain(count: int, source: int, target: int) -> AugmentParameters:
    """Return the change of a batch that only scales its images to the size wanted.

    Args:
        count: images of the batch.
        source: edge of the packed images, pixels.
        target: edge of the images wanted, pixels.
    """
    one = np.ones(count)
    return AugmentParameters(
        _affine(np.ones((count, 2)), 0 * one, one, np.zeros((count, 2)), source, target),
        _colour(one, one, one, np.ones((count, 3))),
    )


def apply(images: Pixels, change: AugmentParameters, target: int) -> Pixels:
    """Return a batch after its warp and colour map, by OpenCV: bilinear, rounded to whole levels.

    Beyond its border an image is mirrored, so that rotation brings in no black corners.

    Args:
        images: uint8, shape (n, source, source, 3).
        change: of these n images. Its ``operations`` are not applied.
        target: edge of the images wanted, pixels.

    Returns:
        images, uint8, shape (n, target, target, 3).
    """
    out = np.empty((len(images), target, target, 3), dtype=np.uint8)
    keeps_colour = np.allclose(change.colour, np.eye(3, 4))

    def change_every(first: int, step: int) -> None:
        for i in range(first, len(images), step):
            warped = _warped(images[i], change.affine[i], target)
            if keeps_colour:
                out[i] = warped
            else:
                cv2.transform(warped, change.colour[i], dst=out[i])

    threads = cv2.getNumThreads()  # as the stage has set it
    if threads < 2:
        change_every(0, 1)
    else:
        list(_pool(threads).map(change_every, range(threads), [threads] * threads))
    return out


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that take whole images: OpenCV's own, which share the rows of one, gain half as much."""
    return ThreadPoolExecutor(threads)


def _warped(image: Pixels, affine: Floats, target: int) -> Pixels:
    """Warp one image. With a fourth channel OpenCV 5 is 1.6 times as fast as with three, and gives the same bits."""
    warped = cv2.warpAffine(
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        affine,
        (target, target),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def _affine(flip: Floats, angle: Floats, zoom: Floats, shift: Floats, source: int, target: int) -> Floats:
    """Rotate, mirror and scale about the centre, then shift; pixel centres lie at whole numbers."""
    step = source / target / zoom
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    linear = np.stack(
        [np.stack([cos * flip[:, 0], -sin * flip[:, 1]], -1), np.stack([sin * flip[:, 0], cos * flip[:, 1]], -1)], -2
    )
    centre_in = (source - 1) / 2 + shift
    centre_out = np.full(2, (target - 1) / 2)
    offset = centre_in - linear @ centre_out
    return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)


def _colour(brightness: Floats, contrast: Floats, saturation: Floats, stain: Floats) -> Floats:
    """Compose saturation, stain, contrast (about mid-grey) and brightness into one linear map."""
    grey = np.outer(np.ones(3), LUMA)
    saturate = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * grey
    gain = (brightness * contrast)[:, None, None] * stain[:, :, None] * saturate
    offset = np.broadcast_to((brightness * (1 - contrast) * 127.5)[:, None, None], (len(stain), 3, 1))
    return np.concatenate([gain, offset], axis=2)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
