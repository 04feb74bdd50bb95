"""``precision: auto``: what it means on which hardware, and that a study keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.commands.study_header import load_for_study
from sweep.grid.auto import precision
from sweep.grid.auto import settings as auto
from sweep.grid.auto.precision import KeptPrecision, Precision, precision_for
from sweep.grid.grid import Grid
from sweep.grid.yaml_document import parse
from sweep.plan.plan import make_plan
from trainables.models.complexity import shape_of
from trainables.specs import ModelSpec
from trainables.store.storage import Storage
from trainables.store.study import Study

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ([8.0], set(), "gpu"),
        ([7.5], {"avx512_bf16"}, "none"),
        ([9.0, 7.0], set(), "none"),
        ([], {"avx2", "avx512_bf16"}, "cpu"),
        ([], {"amx_bf16"}, "cpu"),
        ([], {"avx2"}, "none"),
        ([], set(), "none"),
    ],
)
def test_what_computes_in_bf16(capabilities: list[float], flags: set[str], expected: str) -> None:
    assert precision.bf16_units(capabilities, flags) == expected


@pytest.mark.parametrize(
    ("model", "on_cpu"),
    [
        ("torchvision/resnet18", "bf16"),
        ("torchvision/resnet50", "bf16"),
        ("torchvision/squeezenet1_1", "bf16"),
        ("torchvision/vit_b_32", "bf16"),
        ("torchvision/regnet_y_400mf", "bf16"),
        ("torchvision/mobilenet_v3_large", "float32"),
        ("torchvision/mobilenet_v2", "float32"),
        ("timm/tf_efficientnet_lite0", "float32"),
        ("my.nets:Net", "float32"),  # nothing is counted of it
    ],
)
def test_a_cpu_gains_by_bf16_where_few_convolutions_are_depthwise(model: str, on_cpu: str) -> None:
    shape = shape_of(ModelSpec(model=model))
    depthwise = None if shape is None else shape.depthwise
    assert precision_for("cpu", depthwise) == on_cpu
    assert precision_for("gpu", depthwise) == "bf16"
    assert precision_for("none", depthwise) == "float32"


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo 8.0; echo 9.0", [8.0, 9.0]), ("echo '[N/A]'", []), ("echo 8.0; exit 9", []), ("exit 0", [])],
)
def test_gpus_are_asked_and_a_strange_answer_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: list[float]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert precision.gpu_capabilities() == expected


def test_flags_of_the_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: other\n")
    assert precision.cpu_flags(file) == {"fpu", "avx2", "amx_bf16"}
    assert precision.cpu_flags(tmp_path / "absent") == set()


@pytest.mark.parametrize("settings", [(), ("recipe.precision=auto",), ("finetune.precision=auto",)])
def test_auto_is_resolved_before_keys_are_made(
    load: Callable[..., Grid], grid_text: str, at_hand: Any, settings: tuple[str, ...]
) -> None:
    keys = {}
    for kept in PRECISIONS:
        grid = replace(load(grid_text, *settings), kept_precision=KeptPrecision({}, "none", kept))
        plan = make_plan(grid, at_hand(grid))
        assert {stage.recipe.precision for stage in plan.cells} == {kept}
        assert yaml.safe_load(grid.resolved())["recipe"]["precision"] == kept
        keys[kept] = {stage.key for stage in plan.stages}
        written = load(grid_text, f"recipe.precision={kept}")
        assert {stage.key for stage in make_plan(written, at_hand(written)).stages} == keys[kept]
    assert not keys["float32"] & keys["bf16"]


def precisions(grid: Grid, at_hand: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for stage in make_plan(grid, at_hand(grid)).stages:
        found.setdefault(stage.architecture, set()).add(stage.recipe.precision)
    return found


MIXED = """
target: cells
data: {cells: {reader: image_folder, path: cells}}
scenarios: {Random: {}}
axes: {architecture: [resnet18, mobilenet_v2], learning_rate: 0.01}
"""


def test_auto_on_a_cpu_is_of_each_network(
    load: Callable[..., Grid], at_hand: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(auto, "of_this_machine", lambda: "cpu")
    grid = load(MIXED)
    assert precisions(grid, at_hand) == {"resnet18": {"bf16"}, "mobilenet_v2": {"float32"}}
    assert precisions(load(MIXED, "edition=1"), at_hand) == {"resnet18": {"bf16"}, "mobilenet_v2": {"bf16"}}
    assert yaml.safe_load(grid.resolved())["recipe"]["precision"] == "auto"
    assert load(MIXED, "edition=1").precision_to_keep.document() == {"precision": "bf16"}
    header = grid.precision_to_keep.document()
    assert header == {"precision": {"resnet18": "bf16", "mobilenet_v2": "float32"}, "bf16_on": "cpu"}
    # Planned later on another machine, with an architecture more: still as on the first.
    monkeypatch.setattr(auto, "of_this_machine", lambda: "gpu")
    study = Study(Storage(str(tmp_path)))
    study.storage.write_json("study.json", {"name": "s", "edition": 2, **header})
    more = load_for_study(
        parse(MIXED.replace("mobilenet_v2", "mobilenet_v2, mobilenet_v3_large, resnet50"), "g"), study
    )
    assert precisions(more, at_hand) == {
        "resnet18": {"bf16"},
        "mobilenet_v2": {"float32"},
        "mobilenet_v3_large": {"float32"},
        "resnet50": {"bf16"},
    }
    assert more.precision_to_keep.of["resnet50"] == "bf16"


def test_a_study_keeps_the_precision_it_was_begun_with(grid_text: str, tmp_path: Path) -> None:
    study = Study(Storage(str(tmp_path)))
    assert load_for_study(parse(grid_text, "grid.yaml"), study).kept_precision is None
    study.storage.write_json("study.json", {"name": "s", "precision": "bf16"})
    assert load_for_study(parse(grid_text, "grid.yaml"), study).precision_to_keep.single == "bf16"
    study.storage.write_json("study.json", {"name": "s"})
    kept = load_for_study(parse(grid_text, "grid.yaml"), study)
    assert kept.precision_to_keep.single == "float32", "begun before there was auto"
