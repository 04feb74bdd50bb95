"""What a study may name as its network: names of torchvision and timm with plain options, nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.models.named_networks import what_is_foreign
from trainables.specs import ModelSpec


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("torchvision/squeezenet1_1", {}),
        ("torchvision/resnet18", {"zero_init_residual": True}),
        ("timm/test_vit", {"patch_size": 8, "drop_rate": 0.1, "global_pool": "avg"}),
        ("timm/resnet18", {"block_args": {"attn_layer": "se"}, "channels": [1, 2, 3], "act_layer": "relu"}),
        ("timm/vit_tiny_patch16_224.augreg_in21k", {}),
    ],
)
def test_a_known_network_with_plain_options_is_built(model: str, options: dict[str, Any]) -> None:
    assert what_is_foreign(ModelSpec(model=model, options=options), 64) is None


@pytest.mark.parametrize(
    "model",
    [
        "torch.hub:load",
        "os:system",
        "my_package.networks:Net",
        "timm/hf-hub:someone/model",
        "timm/hf_hub:someone/model",
        "timm/local-dir:/tmp/model",
        "timm/no_such_network",
        "timm/../x",
        "timm/",
        "torchvision/no_such_network",
        "torchvision/quantization.resnet18",
        "torchvision/segmentation.fcn_resnet50",
        "other/resnet18",
        "resnet18",
        "",
    ],
)
def test_any_other_name_is_foreign(model: str) -> None:
    spec = ModelSpec.model_construct(model=model, options={})
    assert "neither torchvision nor timm knows by name" in (what_is_foreign(spec, 64) or "")


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "weights"},
        {"cache_dir": "x"},
        {"pretrained": True},
        {"pretrained_cfg": "x"},
        {"pretrained_cfg_overlay": {"mean": [0, 0, 0]}},
        {"weights": "DEFAULT"},
        {"weights_backbone": "DEFAULT"},
        {"num_classes": 3},
        {"features_only": True},
        {"act_layer": "os.system"},
        {"act_layer": "/etc/passwd"},
        {"act_layer": "https://example.org"},
        {"nested": {"deep": [{"file": "../x"}]}},
        {"nested": {"checkpoint_path": "x"}},
        {"width": 10**9},
        {"width": -(10**300)},
        {"rate": float("inf")},
        {"rate": float("nan")},
        {"a name": 1},
    ],
)
def test_paths_addresses_and_huge_numbers_are_no_plain_options(options: dict[str, Any]) -> None:
    spec = ModelSpec.model_construct(model="timm/resnet18", options=options)
    assert (what_is_foreign(spec, 64) or "").startswith("the option ")


def test_a_huge_input_is_refused() -> None:
    assert "more than 4096" in (what_is_foreign(ModelSpec(model="timm/resnet18"), 10**6) or "")
