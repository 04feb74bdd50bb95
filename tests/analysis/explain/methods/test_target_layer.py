"""Tests of the layer that a class activation map reads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from analysis.explain.methods.target_layer import CamLayer, cam_layer, evaluating, layout_of
from trainables.errors import UserError
from trainables.models.backbones import Backbone, build
from trainables.specs import ModelSpec

PAPER = {
    "torchvision/vgg19_bn": ("features.51", (14, 14), 0),
    "torchvision/resnet152": ("layer4", (7, 7), 0),
    "torchvision/regnet_y_32gf": ("trunk_output", (7, 7), 0),
    "torchvision/vit_l_32": ("encoder.layers.encoder_layer_23.ln_1", (7, 7), 1),
}
LAYERS = {
    ("timm/test_resnet", 64): ("layer4", "first", (2, 2), 0),
    ("timm/test_vit", 160): ("blocks.5.norm1", "tokens", (10, 10), 1),
    ("timm/tf_efficientnet_lite0", 112): ("bn2", "first", (4, 4), 0),
    ("torchvision/squeezenet1_1", 112): ("features", "first", (6, 6), 0),
    ("timm/vit_small_patch16_224", 224): ("blocks.11.norm1", "tokens", (14, 14), 1),
    ("timm/deit_tiny_distilled_patch16_224", 224): ("blocks.11.norm1", "tokens", (14, 14), 2),
    ("timm/convit_tiny", 224): ("blocks.11.norm1", "tokens", (14, 14), 1),
    ("timm/cait_xxs24_224", 224): ("blocks_token_only.1.norm1", "tokens", (14, 14), 1),
    ("timm/swin_tiny_patch4_window7_224", 224): ("norm", "last", (7, 7), 0),
    ("torchvision/swin_t", 224): ("permute", "first", (7, 7), 0),
    ("timm/convnext_atto", 96): ("stages", "first", (3, 3), 0),
    ("torchvision/densenet121", 96): ("features", "first", (3, 3), 0),
    ("torchvision/mobilenet_v2", 96): ("features", "first", (3, 3), 0),
    ("torchvision/vgg11_bn", 64): ("features.27", "first", (4, 4), 0),
    ("torchvision/regnet_y_400mf", 96): ("trunk_output", "first", (3, 3), 0),
    ("torchvision/vit_b_32", 224): ("encoder.layers.encoder_layer_11.ln_1", "tokens", (7, 7), 1),
}
OWN = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer3 = nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.ReLU())
        self.layer4 = nn.Conv2d(6, 6, 3, 2, 1)
        self.out = nn.Linear(6, num_classes)
    def forward(self, images):
        return self.out(self.layer4(self.layer3(images)).mean((2, 3)))
class Named(Net):
    cam_layer = "layer3"
class Misnamed(Net):
    cam_layer = "layer33"
class NamedForNothing(Net):
    cam_layer = "out"
class Flat(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.out = nn.Linear(3, num_classes)
    def forward(self, images):
        return self.out(images.mean((2, 3)))
"""


def built(model: str, edge: int, classes: int = 4) -> tuple[Backbone, CamLayer]:
    """A network with random weights, its head included: some are zero when they are new."""
    torch.manual_seed(0)
    spec = ModelSpec(model=model)
    backbone = build(spec, edge, classes)
    for name, parameter in backbone.module.named_parameters():
        if name in backbone.head and parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.05)
    return backbone, cam_layer(spec, backbone.module, edge)


def maps(backbone: Backbone, found: CamLayer, edge: int, classes: tuple[int, ...]) -> np.ndarray:
    """Grad-CAM of one structured image for some classes, shape (classes, edge, edge)."""
    axis = torch.linspace(-2, 2, edge)
    image = torch.stack([axis.expand(edge, edge), axis[:, None].expand(edge, edge), torch.outer(axis, axis).sin()])
    images = (image + 0.3 * torch.randn(image.shape)).expand(len(classes), -1, -1, -1).clone().requires_grad_()
    with evaluating(backbone.module) as module:
        cam = GradCAM(module, [found.layer], found.reshape_transform)
        try:
            return np.array(cam(images, [ClassifierOutputTarget(number) for number in classes]))
        finally:
            cam.activations_and_grads.release()


def check_maps(model: str, edge: int) -> CamLayer:
    backbone, found = built(model, edge)
    drawn = maps(backbone, found, edge, (0, 1, 2, 3))
    assert drawn.shape == (4, edge, edge)
    assert sum(float(one.std()) > 0.01 for one in drawn) >= 2, "constant for most classes"
    assert not all(np.allclose(drawn[0], one, atol=0.01) for one in drawn[1:]), "the same for all classes"
    return found


@pytest.mark.parametrize(("model", "edge"), LAYERS)
def test_the_layer_is_found_in_every_family(model: str, edge: int) -> None:
    _, found = built(model, edge)
    assert (found.name, found.layout.channels, found.grid, found.layout.prefix_tokens) == LAYERS[model, edge]


@pytest.mark.parametrize(
    ("model", "edge"),
    [("timm/test_resnet", 128), ("timm/test_vit", 160), ("torchvision/squeezenet1_1", 64), ("timm/convnext_atto", 64)],
)
def test_maps_have_the_images_aspect_and_change_with_the_class(model: str, edge: int) -> None:
    check_maps(model, edge)


@pytest.mark.slow
@pytest.mark.parametrize("model", PAPER)
def test_maps_of_the_studys_architectures(model: str) -> None:
    found = check_maps(model, 224)
    assert (found.name, found.grid, found.layout.prefix_tokens) == PAPER[model]
    del found
    gc.collect()


@pytest.mark.parametrize(
    ("model", "edge"),
    [("timm/test_resnet", 256), ("timm/test_vit", 160), ("timm/swin_tiny_patch4_window7_224", 224)],
)
def test_the_map_lies_on_the_image(model: str, edge: int) -> None:
    """A change in one corner of the image changes the map most in that corner: rows are rows, columns are columns."""
    backbone, found = built(model, edge)
    images = torch.zeros(2, 3, edge, edge)
    images[1, :, : edge // 4, -edge // 4 :] = torch.randn(3, edge // 4, edge // 4)  # top right
    outputs: list[torch.Tensor] = []
    handle = found.layer.register_forward_hook(lambda _, __, output: outputs.append(found.reshape_transform(output)))
    with torch.no_grad():
        backbone.module.eval()(images)
    handle.remove()
    change = (outputs[0][1] - outputs[0][0]).abs().sum(0)
    row, column = divmod(int(change.argmax()), found.grid[1])
    assert row < found.grid[0] / 2
    assert column >= found.grid[1] / 2


def test_the_network_is_left_as_it_was() -> None:
    backbone = build(ModelSpec(model="timm/test_resnet"), 64, 3)
    module = backbone.module.train()
    module.get_submodule("layer1").eval()
    module.get_parameter("fc.bias").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    cam_layer(ModelSpec(model="timm/test_resnet"), module, 64)
    assert module.training
    assert not module.get_submodule("layer1").training
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == ["fc.bias"]
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())


def test_the_network_is_left_as_it_was_when_it_fails() -> None:
    module = build(ModelSpec(model="timm/test_resnet"), 64, 3).module.train()
    with pytest.raises(ZeroDivisionError), evaluating(module):
        _ = 1 / 0
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], CamLayer]:
    """Find the layer of one of the user's own classes."""
    (tmp_path / "users_own_maps.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_own_maps", raising=False)
    return lambda name: built(f"users_own_maps:{name}", 32)[1]


def test_ones_own_network_is_understood_or_names_the_layer(own: Callable[[str], CamLayer]) -> None:
    assert (own("Net").name, own("Net").grid) == ("layer4", (4, 4))
    assert (own("Named").name, own("Named").grid) == ("layer3", (8, 8))


def test_another_layer_may_be_asked_for() -> None:
    spec = ModelSpec(model="timm/test_resnet")
    module = build(spec, 64, 3).module
    assert cam_layer(spec, module, 64, "layer2").grid == (8, 8)
    with pytest.raises(UserError, match="no layer 'layer22' .*did you mean layer2"):
        cam_layer(spec, module, 64, "layer22")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Misnamed", "has no layer 'layer33' to read a class activation map from; did you mean layer3"),
        ("NamedForNothing", "the layer out, named for class activation maps, gives no map at 32 px"),
        ("Flat", "no layer with a map of the image at 32 px .* larger image_size, or name a layer .*cam_layer ="),
    ],
)
def test_where_there_is_no_map_it_is_said(own: Callable[[str], CamLayer], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        own(name)


@pytest.mark.parametrize(
    ("shape", "prefix", "expected"),
    [
        ((1, 64, 7, 7), None, ("first", (7, 7), 0)),
        ((1, 7, 7, 64), None, ("last", (7, 7), 0)),
        ((1, 50, 64), None, ("tokens", (7, 7), 1)),
        ((1, 49, 64), None, ("tokens", (7, 7), 0)),
        ((1, 201, 64), 5, ("tokens", (14, 14), 5)),
        ((1, 50, 64), 0, None),
        ((1, 64, 1, 1), None, None),
        ((1, 64), None, None),
        ((16, 49, 64), None, None),
    ],
)
def test_how_a_tensor_holds_a_map(shape: tuple[int, ...], prefix: int | None, expected: object) -> None:
    found = layout_of(torch.zeros(shape), prefix, 224)
    assert (found and (found.channels, found.grid, found.prefix_tokens)) == expected


def test_a_map_is_a_copy_with_the_channels_first() -> None:
    tokens = torch.arange(2 * 5 * 3.0).reshape(2, 5, 3)
    layout = layout_of(tokens[:1], 1, 224)
    assert layout is not None
    reshaped = CamLayer("x", nn.Identity(), layout).reshape_transform(tokens)
    assert reshaped.shape == (2, 3, 2, 2)
    assert torch.equal(reshaped[1, :, 1, 0], tokens[1, 3])  # the first token is the class token
    tokens.zero_()
    assert reshaped.any()
