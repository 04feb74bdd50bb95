"""Tests of networks by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import ViT_B_32_Weights

from trainables.errors import UserError
from trainables.models.backbones import Backbone, build, without_memory
from trainables.models.weights import read_weights
from trainables.normalisation import IMAGENET, Normalisation
from trainables.specs import ModelSpec

HEADS = {
    "torchvision/resnet18": {"fc.weight", "fc.bias"},
    "torchvision/vgg11": {"classifier.6.weight", "classifier.6.bias"},
    "torchvision/squeezenet1_1": {"classifier.1.weight", "classifier.1.bias"},
    "torchvision/vit_b_32": {"heads.head.weight", "heads.head.bias"},
    "torchvision/regnet_y_400mf": {"fc.weight", "fc.bias"},
    "timm/test_vit": {"head.weight", "head.bias"},
    "timm/test_resnet": {"fc.weight", "fc.bias"},
    "timm/tf_efficientnet_lite0": {"classifier.weight", "classifier.bias"},
    "timm/deit_tiny_distilled_patch16_224": {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"},
}
OWN = """
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes, width=4, fault=None):
        super().__init__()
        if fault:
            raise ValueError(fault)
        self.body = nn.Conv2d(3, width, 3)
        self.out = nn.Linear(width, num_classes, bias=False)
    def forward(self, images):
        return self.out(self.body(images).mean((2, 3)))
not_a_class = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The import path of a user's own class, in a file of the user's."""
    (tmp_path / "users_own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_own_networks", raising=False)
    return "users_own_networks:Net"


def small(model: str = "timm/test_resnet", classes: int = 3, **options: Any) -> Backbone:
    return build(ModelSpec(model=model, options=options), 32, classes)


@pytest.mark.parametrize("model", HEADS)
def test_the_head_is_found_whatever_its_name(model: str) -> None:
    backbone = build(ModelSpec(model=model), 224, 5)
    state = backbone.module.state_dict()
    assert backbone.head == HEADS[model]
    assert backbone.without_head(state).keys() == state.keys() - HEADS[model]
    assert all(5 in state[name].shape for name in HEADS[model])


@pytest.mark.parametrize(
    ("model", "edge"), [("timm/test_resnet", 40), ("timm/test_vit", 48), ("torchvision/squeezenet1_1", 64)]
)
def test_logits_are_one_for_each_class_at_the_size_wanted(model: str, edge: int) -> None:
    backbone = build(ModelSpec(model=model), edge, 7)
    assert backbone.module.eval()(torch.zeros(2, 3, edge, edge)).shape == (2, 7)


def test_random_weights_come_from_the_global_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(small().module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv1.0.weight"], states[2]["conv1.0.weight"])


def test_normalisation_is_what_the_network_expects(own: str) -> None:
    half = (0.5, 0.5, 0.5)
    imagenet = (IMAGENET.mean, IMAGENET.std)
    assert (small("timm/test_vit").mean, small("timm/test_vit").std) == (half, half)
    assert (small("timm/test_efficientnet").mean, small("timm/test_efficientnet").std) == imagenet
    assert (small("torchvision/squeezenet1_1").mean, small("torchvision/squeezenet1_1").std) == imagenet
    assert (small(own).mean, small(own).std) == imagenet
    published = ViT_B_32_Weights.IMAGENET1K_V1.transforms()
    assert (tuple(published.mean), tuple(published.std)) == imagenet


def test_ones_own_class_by_its_import_path(own: str) -> None:
    backbone = build(ModelSpec(model=own, options={"width": 6}), 32, 5)
    assert backbone.head == {"out.weight"}
    assert backbone.module.out.in_features == 6
    assert backbone.module(torch.zeros(1, 3, 8, 8)).shape == (1, 5)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("torchvision/resnet99", {}, "Unknown model resnet99"),
        ("timm/resnet99", {}, "Unknown model .*resnet99"),
        ("resnet18", {}, "No module named 'resnet18'"),
        ("no_such_package.nets:Net", {}, "No module named 'no_such_package'"),
        ("users_own_networks:Nest", {}, "no class Nest in users_own_networks; did you mean Net"),
        ("users_own_networks:not_a_class", {}, "'int' object is not callable"),
        ("torchvision/resnet18", {"widths": 3}, "unexpected keyword argument 'widths'"),
        ("torchvision/resnet18", {"num_classes": 3}, "num_classes"),
        ("timm/test_vit", {"widths": 3}, "unexpected keyword argument 'widths'"),
        ("users_own_networks:Net", {"widths": 3}, "unexpected keyword argument 'widths'"),
        ("users_own_networks:Net", {"fault": "too wide"}, "too wide"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_cannot_be_built_is_refused_by_name(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"cannot build {model} .*at 32 px: .*{message}") as caught:
        small(model, **options)
    assert all(option in str(caught.value) for option in options)


def test_an_image_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"cannot build torchvision/vit_b_32 with no options at 100 px"):
        build(ModelSpec(model="torchvision/vit_b_32"), 100, 2)


def test_weights_are_loaded_into_all_but_the_head() -> None:
    torch.manual_seed(0)
    source, target = small(classes=2), small(classes=5)
    before = {name: tensor.clone() for name, tensor in target.module.state_dict().items()}
    target.load_backbone(source.without_head(source.module.state_dict()), "a stage")
    after, given = target.module.state_dict(), source.module.state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name] if name in target.head else given[name]), name
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])


def test_a_head_of_another_size_in_the_file_does_not_matter() -> None:
    source, target = small(classes=1000), small(classes=5)
    target.load_backbone(source.module.state_dict(), "a file")
    assert torch.equal(target.module.state_dict()["conv1.0.weight"], source.module.state_dict()["conv1.0.weight"])
    assert target.module.state_dict()["fc.weight"].shape[0] == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("conv1.0.weight"), r"missing: conv1\.0\.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "unknown: extra"),
        (lambda state: state.update({"bn1.weight": torch.zeros(3, 3)}), r"bn1\.weight is \(3, 3\), wanted \(\d+,\)"),
        (lambda state: state.clear(), r"missing: .*; and \d\d+ more"),
    ],
    ids=["missing", "unknown", "shape", "many"],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(
    spoil: Callable[[dict[str, torch.Tensor]], Any], message: str
) -> None:
    backbone = small()
    before = {name: tensor.clone() for name, tensor in backbone.module.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    spoil(state)
    with pytest.raises(UserError, match=f"the weights of my file do not fit the architecture: .*{message}"):
        backbone.load_backbone(state, "my file")
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.module.state_dict().items())


def test_all_faults_of_weights_are_listed_together() -> None:
    backbone = small()
    state = backbone.module.state_dict() | {"extra": torch.zeros(1), "bn1.weight": torch.zeros(2)}
    del state["conv1.0.weight"]
    with pytest.raises(UserError) as caught:
        backbone.load_backbone(state, "f")
    assert all(
        word in str(caught.value) for word in ("missing: conv1.0.weight", "unknown: extra", "bn1.weight is (2,)")
    )


def test_without_memory_ends_with_its_block() -> None:
    with without_memory():
        assert nn.Linear(2, 2).weight.is_meta
    assert not nn.Linear(2, 2).weight.is_meta
    with pytest.raises(ZeroDivisionError), without_memory():
        _ = 1 / 0
    assert not nn.Linear(2, 2).weight.is_meta


def test_a_network_that_asks_its_parameters_for_values_is_built_all_the_same() -> None:
    """Swin V2 and hybrid ViTs do, and cannot be built without memory."""
    backbone = build(ModelSpec(model="timm/swinv2_cr_tiny_224"), 224, 3)
    assert backbone.head == {"head.fc.weight", "head.fc.bias"}


REAL = {
    "timm/tf_efficientnet_lite0": "timm-tf_efficientnet_lite0-imagenet1k.safetensors",
    "torchvision/squeezenet1_1": "torchvision-squeezenet1_1-imagenet1k.safetensors",
}


@pytest.mark.parametrize("model", REAL)
def test_real_weights_load_into_their_architecture(model: str, shared_weights: Path) -> None:
    state = read_weights(shared_weights / REAL[model])
    backbone = build(ModelSpec(model=model), 224, 21)
    backbone.load_backbone(state, REAL[model])
    loaded = backbone.without_head(backbone.module.state_dict())
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())
    assert len(loaded) == len(state) - len(backbone.head)


@pytest.mark.parametrize(("name", "prefixes"), [("googlenet", ("aux1.", "aux2.")), ("inception_v3", ("AuxLogits.",))])
def test_networks_with_auxiliary_heads_train_on_the_main_logits_alone(name: str, prefixes: tuple[str, ...]) -> None:
    backbone = build(ModelSpec(model=f"torchvision/{name}"), 96, 3)
    names = backbone.module.state_dict().keys()
    assert not [one for one in names if one.startswith(prefixes)]
    logits = backbone.module.train()(torch.randn(2, 3, 96, 96))
    assert isinstance(logits, torch.Tensor)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.module.parameters())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_published_weights_with_auxiliary_heads_load_without_them(name: str) -> None:
    published = models.get_model(name, weights=None, aux_logits=True, init_weights=False).state_dict()
    backbone = build(ModelSpec(model=f"torchvision/{name}"), 96, 3)
    backbone.load_backbone(published, name)
    with pytest.raises(UserError, match="unknown: auxiliary"):
        backbone.load_backbone({**published, "auxiliary": torch.zeros(1)}, name)


def test_the_inception_nets_want_what_their_weights_were_trained_on() -> None:
    """They bring the usual normalisation to mean and SD 0.5 themselves."""
    module: Any = build(ModelSpec(model="torchvision/googlenet"), 96, 3).module
    colour = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1)
    usual = (colour - torch.tensor(IMAGENET.mean).view(1, 3, 1, 1)) / torch.tensor(IMAGENET.std).view(1, 3, 1, 1)
    assert torch.allclose(module._transform_input(usual), (colour - 0.5) / 0.5, atol=1e-6)


def test_weights_are_loaded_as_ddp_and_compile_name_them() -> None:
    backbone, other = small(), small()
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "model."):
        state = {f"{prefix}{name}": tensor for name, tensor in other.module.state_dict().items()}
        backbone.load_backbone(state, "a file")
        assert torch.equal(backbone.module.state_dict()["conv1.0.weight"], other.module.state_dict()["conv1.0.weight"])


def test_weights_that_are_not_numbers_are_refused_but_for_those_of_a_head() -> None:
    backbone = small()
    state = {name: tensor.clone() for name, tensor in small().module.state_dict().items()}
    state["fc.weight"][0] = float("nan")
    backbone.load_backbone(state, "a file")
    state["conv1.0.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"weights of a file do not fit.*conv1\.0\.weight holds NaN"):
        backbone.load_backbone(state, "a file")


def test_the_normalisation_that_is_given_counts(own: str) -> None:
    half = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 0.5))
    for model in ("timm/test_vit", "torchvision/squeezenet1_1", own):
        backbone = build(ModelSpec(model=model), 32, 3, half)
        assert (backbone.mean, backbone.std) == (half.mean, half.std)
