"""``--plan`` and ``--why``: what they print for people and for programs, with and without inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.cost.throughput import STAGE_SECONDS
from tests.sweep.support.command_line import Run, begin, edited, refused, tree

PAPER = [
    ("data set bone_marrow", "data/bone_marrow", "10.7937/TCIA.AXH3-T579"),
    ("data set pcam", "data/pcam", "https://github.com/basveeling/pcam"),
    ("data set cats_vs_dogs", "data/cats_vs_dogs", "https://"),
    ("weights imagenet of vgg19_bn", "hub/checkpoints/vgg19_bn-", "https://download.pytorch.org/models/vgg19_bn-"),
    ("weights imagenet of resnet152", "hub/checkpoints/resnet152-", "https://download.pytorch.org/models/resnet152-"),
    ("weights imagenet of regnet_y_32gf", "hub/checkpoints/regnet_y_32gf-", "https://download.pytorch.org/models/regnet_y"),
    ("weights imagenet of vit_l_32", "hub/checkpoints/vit_l_32-", "https://download.pytorch.org/models/vit_l_32-"),
]  # fmt: skip


def assert_all_named(messages: list[str]) -> None:
    assert len(messages) == len(PAPER)
    for (what, looked_for, obtain), message in zip(PAPER, messages, strict=True):
        assert message.startswith(what)
        assert looked_for in message
        assert obtain in message


def test_the_plan_of_the_paper_without_its_inputs(run: Run, tmp_path: Path) -> None:
    done = run("--grid", "paper", "--plan")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "120 cells, 136 stages; 200 if each cell trained its own pre-training: sharing saves 64" in done.stdout
    assert ["pretrain", "16", "0", "0", "0", "16"] in [line.split()[:6] for line in done.stdout.splitlines()]
    assert ["finetune", "120", "0", "0", "0", "120"] in [line.split()[:6] for line in done.stdout.splitlines()]
    assert_all_named([line.removeprefix("- ") for line in done.stdout.splitlines() if line.startswith("- ")])
    assert tree(tmp_path) == {}


def test_a_run_of_the_paper_without_its_inputs_is_refused(run: Run, tmp_path: Path) -> None:
    *faults, last = refused(run, tmp_path, "--grid", "paper")
    assert_all_named(faults)
    assert "nothing was started" in last


def test_the_plan_for_programs_without_inputs(run: Run) -> None:
    document = json.loads(run("--grid", "paper", "--plan", "--json").stdout)
    stages = document["stages"]
    assert len(stages) == 136
    names = {stage["name"] for stage in stages}
    assert len(names) == 136
    for stage in stages:
        assert {"kind", "name", "key", "upstream", "state", "gflop"} <= stage.keys()
        assert stage["key"] is None
        assert stage["state"] == "waiting"
        assert set(stage["upstream"]) <= names
        assert stage["gflop"] > 0
    assert sum(len(stage["upstream"]) for stage in stages) == 80
    assert_all_named(document["missing"])


def test_the_plan_for_programs_knows_what_was_done(run: Run, again: Path) -> None:
    before = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert before["study"] == "grid"
    assert {stage["state"] for stage in before["stages"]} == {"waiting"}
    keys = [stage["key"] for stage in before["stages"]]
    assert len(set(keys)) == 9
    assert {up for stage in before["stages"] for up in stage["upstream"]} == {keys[0]}
    for place, file in ((0, "result.json"), (1, "failure.json")):
        stage = before["stages"][place]
        folder = again / f"studies/grid/stages/{stage['kind']}-{stage['name']}-{stage['key'][:16]}"
        folder.mkdir(parents=True)
        (folder / file).write_text("{}")
    after = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)["stages"]
    assert [stage["state"] for stage in after] == ["done", "failed", *["waiting"] * 7]
    table = [line.split()[:6] for line in run("--grid", "grid.yaml", "--plan").stdout.splitlines()]
    assert ["pretrain", "1", "1", "0", "0", "0"] in table
    assert ["finetune", "8", "0", "1", "0", "8"] in table


RULES = """\
zip:
  - [architecture, recipe.batch_size]
exclude:
  - {architecture: other, scenario: Tissue}
  - {learning_rate: 0.05, fold: [0]}
defaults:
  - {match: {architecture: other}, set: {clip_norm: 1.0}}
"""


def test_the_plan_says_what_each_rule_is_about(
    run: Run, there: Path, grid_text: str, bare_environment: dict[str, str]
) -> None:
    bare_environment["COLUMNS"] = "160"
    text = grid_text.replace("  tiny: {", "  other: {model: timm/test_vit}\n  tiny: {").replace(
        "[tiny]", "[tiny, other]"
    )
    text = text.replace("axes:\n", "axes:\n  recipe.batch_size: [8, 4]\n")
    (there / "grid.yaml").write_text(text + RULES)
    lines = [line.split() for line in run("--grid", "grid.yaml", "--plan").stdout.splitlines()]
    begin = text.count("\n") + 2
    for rule in (
        f"zip architecture, recipe.batch_size 9 made with it grid.yaml:{begin}",
        f"exclude architecture: other, scenario: Tissue 4 left out grid.yaml:{begin + 2}",
        f"exclude learning_rate: 0.05, fold: 0 4 left out grid.yaml:{begin + 3}",
        f"defaults for architecture: other 3 made with it grid.yaml:{begin + 5}",
        "7 cells are left out; plan.json lists them, each with its rule",
        "architecture 2: tiny (6), other (3) 3 to 6",
    ):
        assert rule.split() in lines, rule
    (there / "grid.yaml").write_text(text + RULES.replace("[0]", "[7]"))
    [fault] = refused(run, there, "--grid", "grid.yaml", "--plan")
    assert fault.startswith(f"grid.yaml:{begin + 3}: the rule for learning_rate: 0.05, fold: 7 matches no cell")


def test_the_plan_says_what_was_proven_of_the_splits(run: Run, folders: Path) -> None:
    shown = " ".join(run("--grid", "grid.yaml", "--plan").stdout.split())
    assert (
        "cells: no groups are given: 0 of 8 images shared between train, val and test, 3 folds; every image tested once"
        in shown
    )
    assert "class round (4 images): 1 to 2 test and" in shown
    study = begin(folders)
    splits = study.plan["splits"]["cells"]
    assert splits["digest"] == study.plan["split"]
    assert "every image tested once" in splits["proof"]
    assert any("class round (4 images)" in note for note in splits["notes"])


def test_a_plan_knows_the_speeds_that_were_measured(run: Run, there: Path) -> None:
    speeds = there / "studies/.cache/speeds.json"
    edited(there, "recipe: {", "recipe: {precision: float32, ")
    before = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert before["forecast"]["speeds"] == {"measured": [], "from_flops": ["tiny"]}
    assert "speeds: from FLOPs and an assumed utilisation of tiny" in run("--grid", "grid.yaml", "--plan").stdout
    speeds.write_text(json.dumps({"timm/test_resnet 32 px float32 1 threads on cpu (x86_64, Some Processor)": 0.125}))
    after = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert after["forecast"]["speeds"] == {"measured": ["tiny"], "from_flops": []}
    stage = after["stages"][0]
    assert stage["seconds"] == pytest.approx(STAGE_SECONDS + stage["gflop"] / 0.125)
    assert "speeds: measured of tiny" in run("--grid", "grid.yaml", "--plan").stdout
    elsewhere = json.loads(run("--grid", "grid.yaml", "--plan", "--json", "--device", "a10g").stdout)
    assert elsewhere["forecast"]["speeds"]["measured"] == []


def test_the_plan_of_the_small_study(run: Run) -> None:
    done = run("--grid", "mini", "--plan", "--set", "fold=all")
    assert done.returncode == 0, done.stderr
    assert "60 cells, 68 stages; 100 if each cell trained its own pre-training" in done.stdout


def test_a_plan_needs_no_place_to_write(run: Run, tmp_path: Path) -> None:
    done = run("--grid", "paper", "--plan", "--storage", "/proc/nowhere")
    assert done.returncode == 0, done.stderr


def test_the_grid_names_the_study_where_the_command_does_not(run: Run, there: Path) -> None:
    def study(*arguments: str) -> Any:
        return json.loads(run("--grid", "grid.yaml", "--plan", "--json", "--set", "study=mine", *arguments).stdout)[
            "study"
        ]

    assert study() == "mine"
    assert study("--study", "yours") == "yours"


def test_why_two_stages_differ(run: Run) -> None:
    one, other = "tiny_vit-Tissue-fold0-lr0.001-seed0", "tiny_vit-Tissue-fold2-lr0.004-seed0"
    done = run("--grid", "smoke", "--why", one, other)
    assert done.returncode == 0
    assert {"fold: 0 | 2", "learning_rate: 0.001 | 0.004"} < set(done.stdout.splitlines())
    assert "recipe" not in done.stdout
    unknown = run("--grid", "smoke", "--why", one, "tiny_vit-Tissu-fold0-lr0.001-seed0")
    assert unknown.returncode == 2
    assert "did you mean tiny_vit-Tissue-fold0-lr0.001-seed0" in unknown.stdout + unknown.stderr
