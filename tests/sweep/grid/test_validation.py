"""Faults of a grid that fits its schema: each is found, placed, and has a way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweep.grid.faults import short
from sweep.grid.grid import Grid
from trainables.errors import UserError

Load = Callable[..., Grid]


def faults(load: Load, content: str | dict[str, Any], *settings: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        load(content, *settings)
    return caught.value.faults


CASES = [
    ("target=cels", "no data set cels under data; did you mean cells"),
    ("scenarios.Tissue.pretrain=[tissue, tisue]", "no data set tisue under data; did you mean tissue"),
    ("scenarios.Tissue.pretrain=cells", "cells is the target: pre-training on it would train on test images"),
    ("scenarios.Tissue.start=imagenet", "no weights imagenet under weights; known: random"),
    ("architecture=[]", "the axis architecture is empty"),
    ("scenario=[]", "the axis scenario is empty"),
    ("fold=[]", "the axis fold is empty"),
    ("seed=[]", "the axis seed is empty"),
    ("learning_rate=[]", "the axis learning_rate is empty"),
    ("architecture=[tiny, tiny]", "tiny is given twice in the axis architecture"),
    ("learning_rate=[0.1, 0.2, 0.1]", "0.1 is given twice in the axis learning_rate"),
    ("architecture=[resnet19]", "unknown architecture resnet19: neither torchvision nor timm has it; did you mean resnet18"),
    ("scenario=[Randon]", "unknown scenario Randon; did you mean Random"),
    ("fold=[0, 2]", "no fold 2: split.folds is 2, folds count from 0"),
    ("fold=[-1]", "no fold -1"),
    ("seed=[-1]", "a seed is a whole number from 0 on, found -1"),
    ("scenarios={}", "no scenario: give at least one"),
    ("recipe.epoch=3", "unknown key recipe.epoch; did you mean epochs"),
    ("recipe.augmentation={rotat: 3}", "unknown key recipe.augmentation.rotat; did you mean rotate"),
    ("recipe.augmentation={rotate: 300}", "recipe.augmentation.rotate: input should be less than or equal to 180, found 300"),
    ("finetune.epochs=0", "finetune.epochs: input should be greater than or equal to 1, found 0"),
    ("finetune.learning_rate=0.1", "unknown key finetune.learning_rate"),
    ("pretrain.optimizer=sdg", "pretrain.optimizer: no optimizer sdg; there are adamw, sgd, and"),
    ("defaults=[{match: {}, set: {learning_rate: 1}}]", "unknown key defaults.0.set.learning_rate"),
    ("defaults=[{match: {archtecture: tiny}, set: {}}]", "not on archtecture; did you mean architecture"),
    ("defaults=[{match: {architecture: tinny}, set: {}}]", "matches no stage"),
    ("defaults=[{match: {kind: pretrain, fold: 0}, set: {}}]", "matches no stage"),
    ("pretrain={epochs: 2}", "pretrain.learning_rate: give a number or a table of them; Tissue pre-train"),
    ("pretrain.learning_rate=fast", "pretrain.learning_rate: give a number or a table"),
    ("pretrain.learning_rate=-1", "a learning rate must be a positive number, found -1"),
    ("learning_rate=0", "a learning rate must be a positive number, found 0"),
    ("learning_rate=[.inf]", "a learning rate must be a positive number, found inf"),
    ("learning_rate=.nan", "a learning rate must be a positive number, found nan"),
    ("learning_rate={table: {Random: {tiny: 0.1}}}", "none for scenario Tissue, architecture tiny"),
    ("learning_rate={table: {Random: {tiny: 0.1}, Tissue: {tiny: 0.1}}, times: [0]}", "must be a positive number"),
    ("scenarios.Other.pretrain=[tissue]", "Other is the same as Tissue"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "said"), CASES, ids=[case[0] for case in CASES])
def test_a_fault_is_found(load: Load, grid_text: str, setting: str, said: str) -> None:
    shown = faults(load, grid_text, setting)
    assert len(shown) == 1
    assert said in shown[0]
    assert f"--set {setting}" in shown[0] or f"--set axes.{setting}" in shown[0]


def test_more_cells_than_anybody_could_run_are_refused_at_once(load: Load, grid_text: str) -> None:
    settings = [f"axes.{axis}={list(range(1, 1200))}" for axis in ("recipe.epochs", "recipe.batch_size", "seed")]
    [fault] = faults(load, grid_text, *settings)
    assert "the axes make 13,789,468,792 cells before any rule; at most 1,000,000 are possible" in fault


def test_a_model_that_no_library_has_is_placed_where_it_is_used(load: Load, grid_text: str) -> None:
    [fault] = faults(load, grid_text, "architectures.tiny.model=timm/resnet19")
    assert "grid.yaml:12: unknown architecture timm/resnet19" in fault


def test_a_fault_in_the_file_has_the_line_of_its_value(load: Load, grid_text: str) -> None:
    text = grid_text.replace("  learning_rate: [0.02, 0.05]", "  learning_rate: [0.02,\n    -5]\n  seed: [0, -1]")
    assert [fault.split(" ")[0].rpartition("/")[2] for fault in faults(load, text)] == ["grid.yaml:15:"]
    assert [fault.split(" ")[0].rpartition("/")[2] for fault in faults(load, text, "seed=[0]")] == ["grid.yaml:13:"]


WEIGHTS = [
    ("{tiny: {}}", "give either file or version"),
    ("{tiny: {file: a, version: b}}", "give either file or version"),
    ("{tinny: {file: a}}", "weights imagenet name none for tiny; did you mean tinny"),
    ("{}", "weights imagenet name none for tiny"),
    ("{tiny: {version: r160_in2k}}", "timm/test_resnet has no published version r160_in2k; did you mean r160_in1k"),
]


@pytest.mark.parametrize(("weights", "said"), WEIGHTS, ids=[case[0] for case in WEIGHTS])
def test_weights_that_a_scenario_starts_from_must_be_named_once(
    load: Load, grid_text: str, weights: str, said: str
) -> None:
    shown = faults(load, grid_text, f"weights.imagenet={weights}", "scenarios.Random.start=imagenet")
    assert len(shown) == 1
    assert said in shown[0]


def test_weights_that_no_scenario_starts_from_need_not_be_complete(load: Load, grid_text: str) -> None:
    assert load(grid_text, "weights.imagenet={}").weights == ()


def test_faults_of_several_sorts_are_found_at_once(load: Load, grid_text: str) -> None:
    settings = ("target=cels", "fold=[9]", "architecture=[nosuch, tiny]", "recipe.epoch=3", "seed=[]")
    shown = faults(load, grid_text, *settings)
    assert len(shown) == 5
    for said in ("no data set cels", "no fold 9", "unknown architecture nosuch", "recipe.epoch", "seed is empty"):
        assert sum(said in fault for fault in shown) == 1


def test_faults_of_weights_rates_and_rules_are_found_at_once(load: Load, document: dict[str, Any]) -> None:
    document["weights"] = {"imagenet": {}}
    document["scenarios"] |= {"Start": {"start": "imagenet"}, "Again": {"start": "imagenet"}}
    document["axes"]["learning_rate"] = {"table": {"Random": {"tiny": 0.1}, "Tissue": {"tiny": -1}}}
    document["defaults"] = [{"match": {"fold": 7}, "set": {}}, {"match": {"folds": 0}, "set": {}}]
    shown = "\n".join(faults(load, document))
    for said in (
        "weights imagenet name none for tiny",
        "none for scenario Start",
        "none for scenario Again",
        "found -1",
        "the rule for fold: 7 matches no stage",
        "not on folds; did you mean fold",
        "Again is the same as Start",
    ):
        assert said in shown
    assert len(shown.splitlines()) == 7


def test_nothing_asks_for_a_pretraining_rate_where_nothing_is_pretrained(load: Load, grid_text: str) -> None:
    grid = load(grid_text, "scenario=[Random]", "pretrain={}")
    assert grid.data_sets == ("cells",)


def test_a_value_in_a_message_is_short() -> None:
    assert short([1, "a"]) == "[1, 'a']"
    assert len(short("x" * 1000)) <= 60


def test_options_are_checked_although_names_of_other_entries_are_unknown(load: Load, document: dict[str, Any]) -> None:
    document["recipe"] |= {
        "optimizer_options": {"foo": 1},
        "decay": "cosin",
        "metrics": ["f1_makro", {"name": "top_k_accuracy", "options": {"k": "zero"}}],
        "stopping_options": {"q": 1},
    }
    with pytest.raises(UserError) as caught:
        load(document)
    shown = "\n".join(caught.value.faults)
    for said in ("no option foo", "no learning-rate schedule cosin", "no metric f1_makro", "option k of the metric"):
        assert shown.count(said) == 1, said
    assert shown.count("no option q") == 1


def test_a_key_that_is_no_text_is_told_at_its_line(load: Load, grid_text: str) -> None:
    with pytest.raises(UserError) as caught:
        load(f"{grid_text.rstrip()}\nyes: no\n")
    line = len(grid_text.rstrip().splitlines()) + 1
    assert f"grid.yaml:{line}: " in caught.value.faults[0]
