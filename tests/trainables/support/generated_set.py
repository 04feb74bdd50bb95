"""A whole generated image set as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.data.synthetic.generated import GENERATORS, members, picture


class GeneratedSet(NamedTuple):
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None
    masks: NDArray[np.uint8] | None
    image_ids: tuple[str, ...]


def generate(name: str, images_per_class: int, size: int, seed: int) -> GeneratedSet:
    """Draw all images of a set, sorted by class and then by index."""
    listed = members(name, images_per_class, seed)
    pictures = [picture(name, member, size, seed) for member in listed]
    classes = GENERATORS[name].classes
    groups, masks = [member.group for member in listed], [mask for _, mask in pictures]
    assert len({group is None for group in groups}) == len({mask is None for mask in masks}) == 1
    return GeneratedSet(
        np.stack([image for image, _ in pictures]),
        np.array([classes.index(member.kind) for member in listed], dtype=np.int64),
        classes,
        None if groups[0] is None else tuple(map(str, groups)),
        None if masks[0] is None else np.stack([mask for mask in masks if mask is not None]),
        tuple(member.image_id for member in listed),
    )
