"""What a checked grid says: its axes, its rates, and the recipe of each stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.grid.grid import Grid
from sweep.grid.learning_rates import parse_rates, rates_of
from trainables.normalisation import Normalisation
from trainables.specs import Augmentation, Recipe

Load = Callable[..., Grid]
HALF = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Of timm's test_resnet."""


def labels(**changes: Any) -> dict[str, Any]:
    cell = {"kind": "finetune", "architecture": "tiny", "scenario": "Tissue", "data": "cells", "fold": 1, "seed": 0}
    return {**cell, **changes}


PRETRAIN = labels(kind="pretrain", data="tissue", fold=None)


def with_rules(load: Load, document: dict[str, Any], *rules: tuple[dict[str, Any], dict[str, Any]]) -> Grid:
    return load({**document, "defaults": [{"match": match, "set": change} for match, change in rules]})


def test_the_folds_count_from_zero(load: Load, grid_text: str) -> None:
    assert load(grid_text).folds == (0, 1)
    assert load(grid_text, "split.folds=4", "fold=[3, 1]").folds == (3, 1)


def test_only_the_data_and_weights_that_are_used_are_asked_for(load: Load, document: dict[str, Any]) -> None:
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["weights"] = {"a": {"tiny": {"file": "x"}}, "b": {"tiny": {"file": "y"}}}
    document["scenarios"]["A"] = {"start": "a", "pretrain": ["tissue"]}
    grid = load(document)
    assert grid.data_sets == ("cells", "tissue")
    assert grid.weights == (("a", "tiny"),)
    assert load(document, "scenario=[Random]").weights == ()


def test_an_architecture_is_the_librarys_or_ones_own(load: Load, document: dict[str, Any]) -> None:
    document["architectures"]["small_vit"] = {"model": "test_vit", "options": {"patch_size": 8}}
    document["axes"]["architecture"] = ["tiny", "small_vit", "resnet18", "timm/resnet18", "mine.nets:Net"]
    models = load(document).models
    assert {name: model.model for name, model in models.items()} == {
        "tiny": "timm/test_resnet",
        "small_vit": "timm/test_vit",
        "resnet18": "torchvision/resnet18",
        "timm/resnet18": "timm/resnet18",
        "mine.nets:Net": "mine.nets:Net",
    }
    assert models["small_vit"].options == {"patch_size": 8}


def test_one_pretraining_set_may_be_written_without_a_list(load: Load, grid_text: str) -> None:
    assert load(grid_text).scenarios["Tissue"].pretrain == ("tissue",)


def test_settings_of_a_kind_go_over_those_of_all(load: Load, grid_text: str) -> None:
    grid = load(grid_text, "recipe.epochs=7", "finetune.epochs=3", "pretrain={learning_rate: 1}")
    assert grid.recipe(labels()).epochs == 3
    assert grid.recipe(PRETRAIN).epochs == 7


def test_what_a_grid_does_not_say_is_the_default(load: Load, grid_text: str) -> None:
    assert load(grid_text).recipe(labels()) == Recipe(
        image_size=32, batch_size=8, epochs=3, epoch_ties="val_loss", normalisation=HALF
    )


def test_a_rule_goes_over_the_sections_and_only_where_it_matches(load: Load, document: dict[str, Any]) -> None:
    grid = with_rules(load, document, ({"kind": "pretrain"}, {"batch_size": 4}), ({"fold": [1]}, {"epochs": 9}))
    assert grid.recipe(PRETRAIN).batch_size == 4
    assert grid.recipe(PRETRAIN).epochs == 2
    assert grid.recipe(labels()).batch_size == 8
    assert grid.recipe(labels()).epochs == 9
    assert grid.recipe(labels(fold=0)).epochs == 3


@pytest.mark.parametrize(
    "match",
    [
        {"kind": "pretrain"},
        {"architecture": "tiny"},
        {"scenario": "Tissue"},
        {"data": "tissue"},
        {"fold": None},
        {"seed": 0},
        {"seed": [0], "scenario": ["Tissue", "Random"]},
        {},
    ],
)
def test_a_rule_may_match_on_every_label_and_on_one_of_several(
    load: Load, document: dict[str, Any], match: dict[str, Any]
) -> None:
    assert with_rules(load, document, (match, {"threads": 3})).recipe(PRETRAIN).threads == 3


def test_the_most_specific_rule_wins_wherever_it_stands(load: Load, document: dict[str, Any]) -> None:
    specific = ({"architecture": "tiny", "fold": 1}, {"epochs": 11})
    general = ({"architecture": "tiny"}, {"epochs": 12, "threads": 2})
    for rules in ((specific, general), (general, specific)):
        recipe = with_rules(load, document, *rules).recipe(labels())
        assert (recipe.epochs, recipe.threads) == (11, 2)


def test_among_equally_specific_rules_the_later_wins(load: Load, document: dict[str, Any]) -> None:
    rules = (({"fold": 1}, {"epochs": 11}), ({"architecture": "tiny"}, {"epochs": 12}))
    assert with_rules(load, document, *rules).recipe(labels()).epochs == 12
    assert with_rules(load, document, *rules[::-1]).recipe(labels()).epochs == 11


@given(st.lists(st.tuples(st.sets(st.sampled_from(["kind", "architecture", "fold", "seed"])), st.integers(1, 99))))
def test_rules_as_their_definition_says(load: Load, rules: list[tuple[set[str], int]]) -> None:
    document = {
        "target": "cells",
        "data": {"cells": {"reader": "generated", "generator": "blood_cells"}},
        "scenarios": {"Tissue": {}},
        "axes": {"architecture": ["resnet18"], "learning_rate": 0.1},
    }
    cell = labels(architecture="resnet18")
    grid = with_rules(load, document, *(({name: cell[name] for name in on}, {"epochs": n}) for on, n in rules))
    winner = max(enumerate(rules), key=lambda numbered: (len(numbered[1][0]), numbered[0]), default=None)
    assert grid.recipe(cell).epochs == (winner[1][1] if winner else Recipe().epochs)


def test_augmentation_is_changed_field_by_field(load: Load, document: dict[str, Any]) -> None:
    document["recipe"]["augmentation"] = {"rotate": 90, "flip": False}
    grid = with_rules(load, document, ({"fold": 1}, {"augmentation": {"rotate": 10}}))
    assert grid.recipe(labels()).augmentation == Augmentation(rotate=10, flip=False)
    assert grid.recipe(labels(fold=0)).augmentation == Augmentation(rotate=90, flip=False)


def test_rates_ascend_and_are_tidied_and_each_is_there_once() -> None:
    rates = parse_rates({"table": {"s": {"a": 0.1}}, "times": [3, 1, 0.5, 1]})
    assert rates_of(rates, "s", "a") == (0.05, 0.1, 0.3)
    assert 0.1 * 3 != 0.3
    assert rates_of(parse_rates([0.3, 0.1]), "any", "any") == (0.1, 0.3)
    assert rates_of(parse_rates(0.2), "any", "any") == (0.2,)


def test_a_pretraining_rate_may_be_one_or_a_table(load: Load, grid_text: str) -> None:
    assert load(grid_text).pretrain_rate("Tissue", "tiny") == 0.02
    grid = load(grid_text, "pretrain.learning_rate={table: {Tissue: {tiny: 0.5}}}")
    assert grid.pretrain_rate("Tissue", "tiny") == 0.5


def test_a_resolved_grid_says_every_default(load: Load, grid_text: str) -> None:
    resolved = load(grid_text).resolved()
    for said in ("val_fraction: 0.3", "max_undecodable: 0.01", "keep_weights: all", "start: random", "seed: 0"):
        assert said in resolved
