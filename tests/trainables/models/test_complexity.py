"""Tests of the table of parameters and FLOPs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
from torch import nn

from trainables.errors import UserError
from trainables.models.complexity import (
    Complexity,
    count,
    forward_cost,
    full_name,
    gflops,
    known,
    names,
    remember,
    shape_of,
)
from trainables.normalisation import IMAGENET, Normalisation
from trainables.specs import ModelSpec

PUBLISHED = {
    "torchvision/vgg19_bn": (143.7, 19.6, {"IMAGENET1K_V1"}),
    "torchvision/resnet152": (60.2, 11.5, {"IMAGENET1K_V1", "IMAGENET1K_V2"}),
    "torchvision/regnet_y_32gf": (145.0, 32.3, {"IMAGENET1K_V1", "IMAGENET1K_V2"}),
    "torchvision/vit_l_32": (306.5, 15.4, {"IMAGENET1K_V1"}),
}
COUNTED = [
    "torchvision/squeezenet1_1",
    "torchvision/mnasnet1_3",
    "torchvision/swin_t",
    "timm/test_vit",
    "timm/test_resnet",
    "timm/tf_efficientnet_lite0",
    "timm/convnext_tiny",
    "timm/halonet50ts",
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_studys_architectures_count_as_published(name: str) -> None:
    parameters, flops, weights = PUBLISHED[name]
    counted = count(name)
    assert counted.parameters / 1e6 == pytest.approx(parameters, abs=0.1)
    assert counted.gflops == pytest.approx(flops, abs=0.1)
    assert counted.edge == 224
    assert counted.weights.keys() >= weights
    assert known()[name] == counted


@pytest.mark.parametrize("name", COUNTED)
def test_the_table_says_what_is_counted(name: str) -> None:
    assert known()[name] == count(name)


def test_every_architecture_of_the_installed_libraries_is_in_the_table() -> None:
    assert set(names()) - known().keys() == set()


def test_every_row_is_possible() -> None:
    for name, row in known().items():
        assert re.fullmatch(r"(torchvision|timm)/[\w.]+", name)
        assert row.parameters > 1000, name
        assert row.gflops is None or row.gflops > 0, name
        assert row.edge >= 32, name
        assert all(re.match(r"https://(download\.pytorch\.org|huggingface\.co)/", url) for url in row.weights.values())


def test_a_network_that_does_not_run_at_224_px_is_counted_at_its_own_size() -> None:
    row = known()["timm/halonet50ts"]
    assert row.parameters == pytest.approx(22.7e6, rel=0.01)
    assert row.edge == 256
    assert row.gflops == pytest.approx(5.3, abs=0.1)  # published: 5.3 GMACs at 256 px


def test_nothing_is_known_of_a_class_of_ones_own_until_it_is_counted() -> None:
    own = ModelSpec(model="my.nets:Net", options={"width": 3})
    assert gflops(own, 224) == 1.0
    assert shape_of(own) is None
    remember(own, Complexity(10, 0.5, 112, {}, 0.25, {}))
    assert gflops(own, 224) == 2.0
    assert shape_of(own) is not None
    assert gflops(ModelSpec(model="my.nets:Net"), 224) == 1.0


def test_depthwise_convolutions_are_counted_by_what_they_write() -> None:
    assert known()["torchvision/resnet50"].depthwise == known()["torchvision/vit_l_32"].depthwise == 0
    assert known()["torchvision/mobilenet_v2"].depthwise == pytest.approx(0.38, abs=0.08)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1))
    assert forward_cost(net, 10, "meta") == forward_cost(net.to_empty(device="cpu"), 10, "cpu") == (2.24e-05, 0.25)
    wide = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, padding=1, groups=4))
    assert forward_cost(wide, 10, "meta")[1] == 0, "groups of 8 channels are matrix products"


def test_weights_with_a_normalisation_of_their_own_are_in_the_table() -> None:
    half = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    row = known()["timm/tf_efficientnet_b0"]
    assert row.normalisation("ap_in1k") == half
    assert row.normalisation("aa_in1k") == row.normalisation() == IMAGENET
    assert known()["torchvision/vit_b_16"].normalisation("IMAGENET1K_V1") == IMAGENET


def test_the_normalisation_of_every_published_tag_is_that_of_timm() -> None:
    unlike_their_default = 0
    tags = 0
    for name, row in known().items():
        library, _, bare = name.partition("/")
        if library != "timm" or not timm.is_model(bare):
            continue
        for tag in ("", *row.weights):
            config = timm.get_pretrained_cfg(f"{bare}.{tag}" if tag else bare)
            if config is not None:
                assert row.normalisation(tag) == Normalisation.of(config.mean, config.std), (name, tag)
                tags += tag != ""
                unlike_their_default += row.normalisation(tag) != row.normalisation()
    assert tags > 1000
    assert unlike_their_default >= 20


def test_gflops_grow_with_the_area() -> None:
    assert gflops(ModelSpec(model="torchvision/vgg19_bn"), 224) == pytest.approx(19.6, abs=0.1)
    assert gflops(ModelSpec(model="torchvision/vgg19_bn"), 448) == pytest.approx(4 * 19.63)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("resnet18", "torchvision/resnet18"),  # both have it
        ("test_vit", "timm/test_vit"),
        ("timm/resnet18", "timm/resnet18"),
        ("torchvision/vit_l_32", "torchvision/vit_l_32"),
        ("my.nets:Net", "my.nets:Net"),
    ],
)
def test_a_bare_name_is_torchvisions_where_it_has_it(name: str, full: str) -> None:
    assert full_name(name) == full


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnt18", "resnet18"),
        ("vit_l32", "vit_l_32"),
        ("timm/tset_vit", "test_vit"),
        ("torchvision/test_vit", "test_vit"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"unknown architecture {name}: .*did you mean .*\b{near}\b"):
        full_name(name)


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(UserError, match="unknown architecture qqqq") as caught:
        full_name("qqqq")
    assert "did you mean" not in str(caught.value)


def test_counting_what_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="cannot build timm/resnet99"):
        count("timm/resnet99")


def test_planning_reads_the_table_without_torch() -> None:
    script = "import sys, trainables.models.complexity as c; c.full_name('resnet18'); print('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_row_of_the_table_is_a_complexity() -> None:
    assert isinstance(known()["timm/test_vit"], Complexity)
