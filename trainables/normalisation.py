"""How the pixels that a network sees are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from trainables.frozen import Frozen

_SD = Annotated[float, Field(gt=0)]


class Normalisation(Frozen):
    """Mean and SD by which a network's input is normalised: red, green, blue, of pixels in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[_SD, _SD, _SD]

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
        """Return one of any two sequences of three numbers."""
        return cls(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""That of torchvision's weights, and of most of timm's."""
