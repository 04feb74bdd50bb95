"""``precision: auto``: what it means on which hardware, and that a study keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.commands.study_header import load_for_study
from sweep.grid import precision
from sweep.grid.grid import Grid
from sweep.grid.yaml_document import parse
from sweep.plan.plan import make_plan
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ([8.0], set(), "bf16"),
        ([7.5], {"avx512_bf16"}, "float32"),
        ([9.0, 7.0], set(), "float32"),
        ([], {"avx2", "avx512_bf16"}, "bf16"),
        ([], {"amx_bf16"}, "bf16"),
        ([], {"avx2"}, "float32"),
        ([], set(), "float32"),
    ],
)
def test_bf16_where_the_hardware_gains(capabilities: list[float], flags: set[str], expected: str) -> None:
    assert precision.fastest(capabilities, flags) == expected


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
    for kept in ("float32", "bf16"):
        grid = replace(load(grid_text, *settings), kept_precision=kept)
        plan = make_plan(grid, at_hand(grid))
        assert {stage.recipe.precision for stage in plan.cells} == {kept}
        assert yaml.safe_load(grid.resolved())["recipe"]["precision"] == kept
        keys[kept] = {stage.key for stage in plan.stages}
        written = load(grid_text, f"recipe.precision={kept}")
        assert {stage.key for stage in make_plan(written, at_hand(written)).stages} == keys[kept]
    assert not keys["float32"] & keys["bf16"]


def test_a_study_keeps_the_precision_it_was_begun_with(grid_text: str, tmp_path: Path) -> None:
    study = Study(Storage(str(tmp_path)))
    assert load_for_study(parse(grid_text, "grid.yaml"), study).kept_precision is None
    study.storage.write_json("study.json", {"name": "s", "precision": "bf16"})
    assert load_for_study(parse(grid_text, "grid.yaml"), study).auto_precision == "bf16"
    study.storage.write_json("study.json", {"name": "s"})
    kept = load_for_study(parse(grid_text, "grid.yaml"), study)
    assert kept.auto_precision == "float32", "begun before there was auto"
