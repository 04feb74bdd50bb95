"""Real ImageNet weights name what is in real photographs, through the project's own way from pixels to logits.

Architecture, weights, size, normalisation and order of the channels belong together: one of them wrong, and
the names are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from sklearn.datasets import load_sample_image
from timm.data.imagenet_info import ImageNetInfo

from trainables.data.loading import augment
from trainables.data.loading.batches import InputSpec
from trainables.data.packing.decode import decode
from trainables.models import complexity
from trainables.models.backbones import Backbone, build
from trainables.models.weights import read_weights
from trainables.normalisation import IMAGENET
from trainables.specs import ModelSpec

EDGE = 224
RESIZED = 256
"""Shorter side before the centre is cut out: the usual evaluation at 224."""
WEIGHTS = {
    "timm/tf_efficientnet_lite0": "timm-tf_efficientnet_lite0-imagenet1k.safetensors",
    "torchvision/squeezenet1_1": "torchvision-squeezenet1_1-imagenet1k.safetensors",
}
NAMES = {"cat": {"tabby", "tiger cat", "Egyptian cat"}, "coffee": {"espresso", "cup"}, "palace": {"palace"}}
FIRST = {
    "timm/tf_efficientnet_lite0": {"cat", "coffee", "palace"},
    "torchvision/squeezenet1_1": {"cat", "coffee"},  # its first word for the palace is stupa
}


def photo(name: str) -> np.ndarray:
    pixels = {"cat": data.chelsea, "coffee": data.coffee, "palace": lambda: load_sample_image("china.jpg")}[name]()
    resized = decode(np.ascontiguousarray(pixels), RESIZED)
    border = (RESIZED - EDGE) // 2
    return resized[border : border + EDGE, border : border + EDGE]


def loaded(model: str, folder: Path) -> Backbone:
    """The network with all of its weights, the head of 1000 classes included."""
    backbone = build(ModelSpec(model=model), EDGE, complexity.CLASSES)
    backbone.module.load_state_dict(read_weights(folder / WEIGHTS[model]))
    backbone.module.eval()
    return backbone


def best(backbone: Backbone, image: np.ndarray, input_spec: InputSpec) -> list[str]:
    """The first words of the names of the five most likely classes."""
    pixels = augment.apply(image[np.newaxis], augment.plain(1, len(image), EDGE), EDGE)
    with torch.inference_mode():
        top = backbone.module(input_spec.tensor(pixels))[0].topk(5).indices.tolist()
    info = ImageNetInfo()
    return [info.index_to_description(number).split(",")[0] for number in top]


@pytest.mark.parametrize("model", WEIGHTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_names_what_it_sees(model: str, name: str, shared_weights: Path) -> None:
    backbone = loaded(model, shared_weights)
    named = best(backbone, photo(name), InputSpec(EDGE, backbone.mean, backbone.std, torch.device("cpu")))
    assert NAMES[name] & set(named), named
    if name in FIRST[model]:
        assert named[0] in NAMES[name], named


def test_each_network_has_the_normalisation_of_its_weights(shared_weights: Path) -> None:
    half = (0.5, 0.5, 0.5)
    efficientnet, squeezenet = (loaded(model, shared_weights) for model in WEIGHTS)
    assert (efficientnet.mean, efficientnet.std) == (half, half)
    assert (squeezenet.mean, squeezenet.std) == (IMAGENET.mean, IMAGENET.std)
