"""Values of rules: converted like the axis they are compared with, and none that matches nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.study_header import load_for_study
from sweep.grid.grid import Grid
from sweep.grid.rules.values import RuleValues
from sweep.grid.yaml_document import parse
from sweep.plan.plan import Plan
from trainables.errors import UserError
from trainables.store.storage import Storage
from trainables.store.study import Study

RATES = "learning_rate=[0.001, 0.003, 0.01]"
DECAYS = "axes.recipe.weight_decay=[1e-3, 1e-4, 0]"


def rates(plan: Plan) -> set[float | None]:
    return {cell.learning_rate for cell in plan.cells}


def decays(plan: Plan) -> set[tuple[float, int]]:
    return {(cell.recipe.weight_decay, cell.recipe.epochs) for cell in plan.cells}


@pytest.mark.parametrize("written", ["1e-2", "'0.01'", "0.010", "10e-3", "0.010000000000000002"])
def test_a_rate_is_excluded_however_it_is_written(planned: Callable[..., Plan], grid_text: str, written: str) -> None:
    plan = planned(grid_text, RATES, f"exclude=[{{learning_rate: [0.001, {written}]}}]")
    assert rates(plan) == {0.003}
    assert {cell.learning_rate for cell in plan.excluded} == {0.001, 0.01}


def test_a_rate_of_a_table_or_of_a_zip_is_excluded_too(planned: Callable[..., Plan], grid_text: str) -> None:
    table = "learning_rate={table: {Random: {tiny: 0.1}, Tissue: {tiny: 0.2}}, times: [1, 3]}"
    assert rates(planned(grid_text, table, "exclude=[{learning_rate: [3e-1]}]")) == {0.1, 0.2, 0.6}
    zipped = ("learning_rate=[0.1, 1e-2]", "axes.recipe.batch_size=[4, 8]", "zip=[[learning_rate, recipe.batch_size]]")
    assert rates(planned(grid_text, *zipped, "exclude=[{learning_rate: 1e-2}]")) == {0.1}


@pytest.mark.parametrize("written", ["[0, 0.001]", "[0.0, 1e-3]", "['0', '1e-3']", "[-0.0, 0.0010]"])
def test_a_default_rule_finds_its_cells_however_its_value_is_written(
    planned: Callable[..., Plan], grid_text: str, written: str
) -> None:
    rule = f"defaults=[{{match: {{recipe.weight_decay: {written}}}, set: {{epochs: 7}}}}]"
    assert decays(planned(grid_text, DECAYS, rule)) == {(0.001, 7), (0.0001, 3), (0.0, 7)}


@pytest.mark.parametrize("written", ["[0, '1']", "[0.0, 1.0]", "['0', 1]"])
def test_a_fold_and_a_seed_are_whole_numbers(planned: Callable[..., Plan], grid_text: str, written: str) -> None:
    plan = planned(grid_text, "split.folds=3", f"exclude=[{{fold: {written}}}]")
    assert {cell.fold for cell in plan.cells} == {2}
    plan = planned(grid_text, "seed=[0, 1, 2]", f"exclude=[{{seed: {written}}}]")
    assert {cell.seed for cell in plan.cells} == {2}


def test_settings_that_are_no_numbers_are_matched(planned: Callable[..., Plan], grid_text: str) -> None:
    """A mapping, a boolean, None and the field of a data set."""
    clip = ("axes.recipe.clip_norm=[null, 1.0]", "exclude=[{recipe.clip_norm: '1'}]")
    assert {cell.recipe.clip_norm for cell in planned(grid_text, *clip).cells} == {None}
    flip = ("axes.recipe.augmentation.flip=[true, false]", "exclude=[{recipe.augmentation.flip: 'no'}]")
    assert {cell.recipe.augmentation.flip for cell in planned(grid_text, *flip).cells} == {True}
    size = ("axes.data.tissue.size=[32, 48]", "exclude=[{data.tissue.size: 48.0}]")
    assert {stage.data.size for stage in planned(grid_text, *size).stages if stage.kind == "pretrain"} == {32}
    auto = ("axes.recipe.precision=[auto, bf16]", "exclude=[{recipe.precision: auto}]")
    assert {cell.recipe.precision for cell in planned(grid_text, *auto).cells} == {"bf16"}


NOTHING = [
    ("exclude=[{scenario: [Random, Othr]}]", "at scenario: 'Othr'; scenario is one of Random, Tissue"),
    ("exclude=[{scenario: [Random, Tisue]}]", "at scenario: 'Tisue'; did you mean Tissue"),
    ("exclude=[{learning_rate: [0.02, 0.06]}]", "at learning_rate: 0.06; the nearest is 0.05"),
    ("exclude=[{learning_rate: [0.02, fast]}]", "at learning_rate: 'fast'; learning_rate is one of 0.02, 0.05"),
    ("exclude=[{fold: [0, 7]}]", "at fold: 7; the nearest is 1"),
    ("exclude=[{fold: [0, 0.5]}]", "at fold: 0.5; the nearest is 0"),
    ("exclude=[{scenario: [Random, 1]}]", "at scenario: 1; scenario is one of"),
    ("exclude=[{fold: [0, {a: [1]}]}]", "at fold: {'a': [1]}; fold is one of 0, 1"),
    ("defaults=[{match: {seed: [0, 1]}, set: {}}]", "no stage at seed: 1; the nearest is 0"),
    ("defaults=[{match: {kind: [finetune, pretain]}, set: {}}]", "at kind: 'pretain'; did you mean pretrain"),
    ("defaults=[{match: {data: [tissue, cels]}, set: {}}]", "at data: 'cels'; did you mean cells"),
    (
        "defaults=[{match: {scenario: [Random, Tissue], data: tissue}, set: {}}]",
        "at scenario: 'Random', which never comes with the rest of the rule",
    ),
    ("defaults=[{match: {scenario: Random, data: tissue}, set: {}}]", "no stage has all of this at once"),
]


@pytest.mark.parametrize(("setting", "said"), NOTHING, ids=[case[0] for case in NOTHING])
def test_each_value_that_matches_nothing_is_an_error(
    load: Callable[..., Grid], grid_text: str, setting: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(grid_text, setting)
    [fault] = caught.value.faults
    assert said in fault
    assert f"--set {setting}" in fault


def test_several_values_that_match_nothing_are_told_at_once(load: Callable[..., Grid], grid_text: str) -> None:
    with pytest.raises(UserError) as caught:
        load(grid_text, "exclude=[{fold: [0, 5, 6], scenario: [Rndom, Tissue]}]")
    assert len(caught.value.faults) == 3


def test_an_axis_that_gives_a_value_twice_in_two_spellings_is_refused(
    load: Callable[..., Grid], grid_text: str
) -> None:
    with pytest.raises(UserError, match="0.001 is given twice in the axis recipe.weight_decay"):
        load(grid_text, "axes.recipe.weight_decay=[1e-3, 0.001]")


def test_a_key_that_is_unknown_lists_the_valid_ones(load: Callable[..., Grid], grid_text: str) -> None:
    for setting, valid in (
        ("exclude=[{batch: 4}]", "architecture, scenario, seed, fold, learning_rate"),
        ("defaults=[{match: {}, sets: {}, set: {}}]", "match, set"),
        ("split.fold=3", "folds, seed, val_fraction"),
        ("nothing=3", "architectures, axes, data"),
    ):
        with pytest.raises(UserError) as caught:
            load(grid_text, setting)
        assert valid in str(caught.value)


def test_rules_of_a_study_of_the_first_edition_match_what_they_matched(grid_text: str, tmp_path: Path) -> None:
    study = Study(Storage(str(tmp_path)))
    study.storage.write_json("study.json", {"name": "s"})
    grid = load_for_study(
        parse(f"{grid_text}\nexclude: [{{learning_rate: [0.02, 5e-2], fold: [0, '1', 9]}}]\n", "grid.yaml"), study
    )
    left = {(point.fold, rate) for point in grid.combination.points() for rate in (0.02, 0.05)}
    left -= {(p.fold, r) for p in grid.combination.points() for r in (0.02, 0.05) if grid.combination.excluding(p, r)}
    assert left == {(0, 0.05), (1, 0.02), (1, 0.05)}


def test_what_a_value_stands_for_is_the_value_of_the_axis_itself() -> None:
    values = RuleValues({"recipe.weight_decay": ("1e-3", 0)}, {})
    wanted: dict[str, Any] = {"recipe.weight_decay": [0.0, 0.001, 5], "other": "x"}
    assert values.resolved(wanted) == {"recipe.weight_decay": [0, "1e-3"], "other": "x"}
    assert RuleValues({"recipe.weight_decay": ("1e-3", 0)}, {}, as_written=True).resolved(wanted) == wanted
