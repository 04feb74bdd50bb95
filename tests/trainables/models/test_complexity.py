"""Tests of the table of parameters and FLOPs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.errors import UserError
from trainables.models.complexity import Complexity, count, full_name, gflops, known, names
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


def test_a_network_whose_flops_cannot_be_counted_still_has_parameters() -> None:
    assert known()["timm/halonet50ts"].gflops is None
    assert known()["timm/halonet50ts"].parameters == pytest.approx(22.7e6, rel=0.01)
    assert gflops(ModelSpec(model="timm/halonet50ts"), 224) == gflops(ModelSpec(model="my.nets:Net"), 224) == 1.0


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
