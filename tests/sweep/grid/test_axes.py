"""Axes that are settings, axes that go together, cells that are left out, and what each rule is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweep.grid.grid import Grid
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan
from trainables.errors import UserError

Planned = Callable[..., Plan]
Document = dict[str, Any]


def touched(plan: Plan) -> list[tuple[str, int]]:
    return [(rule.text, rule.cells) for rule in plan.rule_coverage]


def labels(plan: Plan) -> list[str]:
    return list(dict.fromkeys(cell.scenario for cell in plan.cells))


def test_a_setting_is_an_axis_and_part_of_the_label_alone(planned: Planned, document: Document) -> None:
    before = planned(document)
    document["axes"]["finetune.batch_size"] = [8, 16]
    plan = planned(document)
    assert labels(plan) == [f"{name} · batch_size={n}" for name in ("Random", "Tissue") for n in (8, 16)]
    assert plan.counts() == {"pretrain": 1, "finetune": 16}
    assert {s.key for s in before.stages} < {s.key for s in plan.stages}, "labels are not hashed"
    assert {(c.scenario[-2:].strip("="), c.recipe.batch_size) for c in plan.cells} == {("8", 8), ("16", 16)}


def test_a_setting_of_all_stages_changes_the_pretraining_too(planned: Planned, document: Document) -> None:
    document["axes"]["recipe.augmentation.rotate"] = [0, 90.0]
    plan = planned(document)
    assert plan.counts() == {"pretrain": 2, "finetune": 16}
    assert {stage.recipe.augmentation.rotate for stage in plan.stages} == {0, 90}
    assert len({stage.name for stage in plan.stages}) == 18


def test_an_axis_goes_over_sections_and_rules(planned: Planned, document: Document) -> None:
    document["axes"]["recipe.epochs"] = [5]
    document["defaults"] = [{"match": {"kind": "finetune"}, "set": {"epochs": 9}}]
    assert {stage.recipe.epochs for stage in planned(document).stages} == {5}


def test_two_settings_of_one_last_name_are_told_apart(planned: Planned, document: Document) -> None:
    document["axes"] |= {"pretrain.epochs": [1, 2], "finetune.epochs": [3]}
    assert labels(planned(document)) == [
        "Random · finetune.epochs=3",
        "Tissue · pretrain.epochs=1, finetune.epochs=3",
        "Tissue · pretrain.epochs=2, finetune.epochs=3",
    ]


def test_a_pretraining_set_in_several_forms(planned: Planned, document: Document) -> None:
    document["axes"]["data.tissue.size"] = [32, 64]
    plan = planned(document)
    assert plan.grid.data_sets == ("cells", "tissue[size=32]", "tissue[size=64]")
    assert plan.counts() == {"pretrain": 2, "finetune": 4 + 8}
    assert {s.data.size for s in plan.stages if s.kind == "pretrain"} == {32, 64}


def test_a_rule_may_match_on_an_axis_that_is_a_setting(planned: Planned, document: Document) -> None:
    document["axes"]["recipe.batch_size"] = [8, 16]
    document["defaults"] = [{"match": {"recipe.batch_size": 16}, "set": {"momentum": 0.5}}]
    plan = planned(document)
    assert {(s.recipe.batch_size, s.recipe.momentum) for s in plan.stages} == {(8, 0.9), (16, 0.5)}
    assert touched(plan) == [("defaults for recipe.batch_size: 16", 8)]


def test_axes_that_go_together_are_no_product(planned: Planned, document: Document) -> None:
    document["axes"] |= {"architecture": ["tiny", "resnet18"], "recipe.image_size": [32, 64]}
    document["zip"] = [["architecture", "recipe.image_size"]]
    plan = planned(document)
    assert {(s.architecture, s.recipe.image_size) for s in plan.stages} == {("tiny", 32), ("resnet18", 64)}
    assert labels(plan) == ["Random", "Tissue"], "the architecture says it already"
    assert touched(plan) == [("zip architecture, recipe.image_size", 16)]


def test_rates_go_together_with_a_setting(planned: Planned, document: Document) -> None:
    document["axes"] |= {"learning_rate": [0.05, 0.02], "recipe.batch_size": [32, 8]}
    document["zip"] = [["learning_rate", "recipe.batch_size"]]
    plan = planned(document)
    assert {(c.learning_rate, c.recipe.batch_size) for c in plan.cells} == {(0.05, 32), (0.02, 8)}
    assert labels(plan) == ["Random", "Tissue"]


def test_cells_are_left_out_and_listed_with_the_rule(planned: Planned, document: Document, at_hand: Any) -> None:
    document["axes"]["architecture"] = ["tiny", "resnet18"]
    document["exclude"] = [{"architecture": "resnet18", "scenario": "Tissue"}, {"learning_rate": [0.05], "fold": 1}]
    plan = planned(document)
    assert plan.counts() == {"pretrain": 1, "finetune": 16 - 4 - 3}, "no pre-training for nobody"
    assert touched(plan) == [
        ("exclude architecture: resnet18, scenario: Tissue", 4),
        ("exclude learning_rate: 0.05, fold: 1", 4),
    ]
    listed = plan.document("s", at_hand(plan.grid))["excluded"]
    assert len(listed) == 7
    assert {
        "architecture": "tiny",
        "scenario": "Random",
        "fold": 1,
        "learning_rate": 0.05,
        "seed": 0,
        "rule": "learning_rate: 0.05, fold: 1",
    } in listed


def test_what_only_excluded_cells_need_is_not_asked_for(load: Callable[..., Grid], document: Document) -> None:
    document["scenarios"]["Start"] = {"start": "imagenet", "pretrain": "tissue"}
    document["weights"] = {"imagenet": {"tiny": {"file": "x"}}}
    document["axes"] |= {"architecture": ["tiny", "resnet18"], "scenario": ["Random", "Start"]}
    document["axes"]["learning_rate"] = {"table": {"Random": {"tiny": 1, "resnet18": 1}, "Start": {"tiny": 1}}}
    document["exclude"] = [{"architecture": "resnet18", "scenario": "Start"}]
    grid = load(document)
    assert grid.weights == (("imagenet", "tiny"),)
    assert len(make_plan(grid, Inputs()).excluded) == 2
    document["exclude"] = [{"scenario": "Start"}]
    assert load(document).data_sets == ("cells",)


def test_a_rule_for_pretraining_is_about_the_cells_that_start_from_it(planned: Planned, document: Document) -> None:
    document["defaults"] = [{"match": {"kind": "pretrain"}, "set": {"epochs": 1}}, {"match": {}, "set": {"threads": 2}}]
    assert touched(planned(document)) == [("defaults for kind: pretrain", 4), ("defaults for everything", 8)]


FAULTS = [
    ("learning_rate={table: {Random: {tiny: 1}, Tissue: {tiny: 1}, Tisue: {tiny: 2}}}", "unknown scenario Tisue; did you mean Tissue"),
    ("learning_rate={table: {Random: {tiny: 1}, Tissue: {tiny: 1}}, times: []}", "times is empty"),
    ("learning_rate={range_test: {fallback: 0.1}, times: []}", "times is empty"),
    ("exclude=all", "exclude: input should be a list, found 'all'"),
    ("data.tissue={generator: scenes}", "data.tissue: give it a reader, there are bone_marrow,"),
    ("axes.sead=[1]", "unknown key axes.sead; did you mean seed"),
    ("axes.recipe.batchsize=[1]", "unknown key recipe.batchsize; did you mean batch_size"),
    ("axes.recipe.epochs=[3, 0]", "recipe.epochs: input should be greater than or equal to 1, found 0"),
    ("axes.recipe.epochs=[]", "the axis recipe.epochs is empty"),
    ("axes.recipe.epochs=[3, 3]", "3 is given twice in the axis recipe.epochs"),
    ("axes.data.tisue.size=[32]", "no data set tisue under data; did you mean tissue"),
    ("axes.data.tissue.sise=[32]", "unknown key data.tissue.sise; did you mean size"),
    ("axes.data.tissue.size=[3]", "data.tissue.size: input should be greater than or equal to 32, found 3"),
    ("axes.data.cells.size=[32, 64]", "data.cells.size would change the target: a study has one target"),
    ("zip=[[architecture]]", "zip: a group is two axes or more"),
    ("zip=[[architecture, recipe.epochs]]", "zip: no axis recipe.epochs"),
    ("zip=[[architecture, fold]]", "zip: the axes of a group have equally many values; architecture has 1, fold has 2"),
    ("zip=[[scenario, fold], [fold, learning_rate]]", "zip: fold is in another group already"),
    ("exclude=[{}]", "exclude leaves no cell"),
    ("exclude=[{archtecture: tiny}]", "not on archtecture; did you mean architecture"),
    ("exclude=[{scenario: Tisue}]", "the rule for scenario: Tisue matches no cell at scenario: 'Tisue'; did you mean Tissue"),
    ("exclude=[{learning_rate: 0.3}]", "matches no cell"),
    ("defaults=[{match: {architecture: tinny}, set: {}}]", "the rule for architecture: tinny matches no stage at architecture: 'tinny'; did you mean tiny"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "said"), FAULTS, ids=[case[0] for case in FAULTS])
def test_a_fault_is_found_and_placed(load: Callable[..., Grid], grid_text: str, setting: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load(grid_text, setting)
    [fault] = caught.value.faults
    assert said in fault
    assert f"--set {setting}" in fault


def test_the_same_step_of_settings_twice_is_refused(load: Callable[..., Grid], document: Document) -> None:
    document["axes"] |= {"recipe.epochs": [3, 3, 4], "recipe.batch_size": [2, 2, 2]}
    document["zip"] = [["recipe.epochs", "recipe.batch_size"]]
    with pytest.raises(UserError, match=r"zip: \(3, 2\) is given twice"):
        load(document)


def test_faults_of_rules_have_the_line_of_the_rule(load: Callable[..., Grid], grid_text: str) -> None:
    text = f"{grid_text}exclude:\n  - {{fold: 1}}\n  - {{fold: 7}}\ndefaults:\n  - match: {{fold: 9}}\n    set: {{}}\n"
    with pytest.raises(UserError) as caught:
        load(text)
    first = len(grid_text.splitlines())
    lines = [int(fault.split(": ")[0].rpartition(":")[2]) for fault in caught.value.faults]
    assert lines == [first + 3, first + 5]


@pytest.mark.slow
def test_a_hundred_thousand_cells_keep_the_keys_that_they_would_compute(planned: Planned, document: Document) -> None:
    document["axes"]["learning_rate"] = [round(1e-5 * n, 8) for n in range(1, 12_501)]
    document["axes"]["seed"] = [0, 1]
    document["recipe"]["epochs"] = 2
    plan = planned(document)
    assert len(plan.cells) == 100_000
    assert len({stage.key for stage in plan.stages}) == len(plan.stages)
    assert all(stage.model_copy().key == stage.key for stage in plan.stages[:: len(plan.stages) // 200])
