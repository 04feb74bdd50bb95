"""Start rates that range tests find: one test for each fold, shared by factors, and what its key depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweep.grid.grid import Grid
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan
from trainables.errors import UserError
from trainables.specs import FoundRate, Ramp, Stage, StageWeights

Planned = Callable[..., Plan]
Document = dict[str, Any]


@pytest.fixture
def ranged(document: Document) -> Document:
    """The small grid, its fine-tuning rates found by range tests."""
    document["axes"]["learning_rate"] = {"range_test": {"steps": 20, "fallback": 0.01}, "times": [0.5, 1, 2]}
    return document


def ranges_of(plan: Plan) -> list[Stage]:
    return [stage for stage in plan.stages if stage.kind == "lr_range"]


def test_each_fold_has_a_test_that_its_factors_share(planned: Planned, ranged: Document) -> None:
    plan = planned(ranged, "seed=[0, 1]")
    assert plan.counts() == {"pretrain": 2, "lr_range": 2 * 2 * 2, "finetune": 2 * 2 * 2 * 3}
    tests = {stage.key: stage for stage in ranges_of(plan)}
    for cell in plan.cells:
        test = tests[cell.upstream[-1]]
        assert cell.learning_rate is None
        assert cell.found_rate == FoundRate(key=test.key, times=cell.found_rate.times if cell.found_rate else 0)
        assert (test.fold, test.seed, test.split, test.data) == (cell.fold, cell.seed, cell.split, cell.data)
        assert test.initial == cell.initial
        assert test.upstream == cell.upstream[:-1]
        assert test.ramp == Ramp(steps=20, fallback=0.01, rule="median", edge_steps=2)
    assert {cell.found_rate.times for cell in plan.cells if cell.found_rate} == {0.5, 1.0, 2.0}
    assert plan.unshared == 2 * 2 * 3 * (2 + 3)
    assert plan.axes()["learning_rate"] == ["found × 0.5", "found × 1", "found × 2"]


def test_names_say_that_the_rate_is_found(planned: Planned, ranged: Document) -> None:
    names = {stage.name for stage in planned(ranged).stages}
    assert {"tiny-Random-fold0-found-x0.5-seed0", "tiny-Random-fold0-range-seed0"} <= names


def test_what_does_not_matter_to_a_test_is_not_in_its_key(planned: Planned, ranged: Document) -> None:
    before = {stage.key for stage in ranges_of(planned(ranged))}
    idle = ("epochs=9", "decay=cosine", "decay_epochs=2", "decay_factor=0.5", "warmup_epochs=2", "patience=3")
    plan = planned(ranged, *(f"finetune.{setting}" for setting in idle))
    assert {stage.key for stage in ranges_of(plan)} == before
    assert {stage.recipe.epochs for stage in plan.cells} == {9}
    for setting in ("batch_size=4", "optimizer=adamw", "augmentation={flip: false}"):
        assert not {stage.key for stage in ranges_of(planned(ranged, f"finetune.{setting}"))} & before


def test_cells_of_several_lengths_share_their_test(planned: Planned, ranged: Document) -> None:
    ranged["axes"]["finetune.epochs"] = [3, 6]
    plan = planned(ranged)
    assert plan.counts() == {"pretrain": 1, "lr_range": 4, "finetune": 24}


def test_a_test_is_shared_by_folds_only_by_name(planned: Planned, ranged: Document) -> None:
    ranged["axes"]["learning_rate"]["range_test"]["share"] = True
    ranged["axes"]["fold"] = [1]
    plan = planned(ranged)
    assert [stage.fold for stage in ranges_of(plan)] == [0, 0]
    assert {cell.fold for cell in plan.cells} == {1}
    assert all("shared" in stage.name for stage in ranges_of(plan))


def test_a_pretraining_has_a_test_on_its_own_data(planned: Planned, document: Document) -> None:
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["scenarios"]["Both"] = {"pretrain": ["tissue", "scenes"]}
    document["pretrain"]["learning_rate"] = {"range_test": {"fallback": 0.1}, "times": [0.5]}
    plan = planned(document)
    assert plan.counts() == {"lr_range": 2, "pretrain": 2, "finetune": 12}
    by_id = {stage.identifier: stage for stage in plan.stages}
    [second] = [stage for stage in plan.stages if stage.kind == "pretrain" and stage.data.name == "scenes"]
    first, test = (by_id[key] for key in second.upstream)
    assert second.found_rate == FoundRate(key=test.key, times=0.5)
    assert (test.kind, test.fold, test.data.name) == ("lr_range", None, "scenes")
    assert test.initial == second.initial == StageWeights(key=first.key)
    assert test.upstream == (first.key,)


def test_an_override_changes_the_test_or_makes_it_needless(planned: Planned, ranged: Document) -> None:
    overrides = {"Random": {"tiny": {"end": 0.01}}, "Tissue": {"tiny": 0.2}}
    ranged["axes"]["learning_rate"]["overrides"] = overrides
    plan = planned(ranged)
    assert {(s.scenario, s.ramp.end) for s in ranges_of(plan) if s.ramp} == {("Random", 0.01)}
    assert {c.learning_rate for c in plan.cells if c.scenario == "Tissue"} == {0.1, 0.2, 0.4}


def test_upstream_comes_before_downstream_with_and_without_keys(
    load: Callable[..., Grid], at_hand: Any, ranged: Document
) -> None:
    ranged["pretrain"]["learning_rate"] = {"range_test": {"fallback": 0.1}}
    grid = load(ranged)
    for inputs in (at_hand(grid), Inputs()):
        seen: set[str] = set()
        plan = make_plan(grid, inputs)
        for stage in plan.stages:
            assert set(stage.upstream) <= seen
            seen.add(stage.identifier)
        assert len(seen) == len(plan.stages) == 2 + 4 + 12


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ("{range_test: {steps: 20}}", "range_test.fallback: field required"),
        ("{range_test: {fallback: 0.1, stepps: 20}}", "range_test.stepps; did you mean steps"),
        ("{range_test: {fallback: 0.1, end: 1.0e-6}}", "must lie above start"),
        ("{range_test: {fallback: 0.1}, times: [-1]}", "must be a positive number"),
        ("{range_test: {fallback: 0.1}, overrides: {Randon: {tiny: 1}}}", "unknown scenario Randon; did you mean Random"),
        ("{range_test: {fallback: 0.1}, overrides: {Random: {tinny: 1}}}", "no architecture tinny in the axis; did you mean tiny"),
        ("{range_test: {fallback: 0.1}, overrides: {Random: {tiny: {ends: 1}}}}", "overrides.Random.tiny.ends; did you mean end"),
    ],
)  # fmt: skip
def test_a_faulty_test_is_refused(load: Callable[..., Grid], grid_text: str, rates: str, said: str) -> None:
    for key in ("axes.learning_rate", "pretrain.learning_rate"):
        with pytest.raises(UserError) as caught:
            load(grid_text, f"{key}={rates}")
        [fault] = [fault for fault in caught.value.faults if said in fault]
        assert f"--set {key}=" in fault


def test_a_faulty_test_is_no_error_of_the_rules_that_need_its_rates(
    load: Callable[..., Grid], ranged: Document
) -> None:
    ranged["axes"]["learning_rate"]["overrides"] = {"Random": {"tiny": {"ends": 1}}}
    ranged["exclude"] = [{"fold": 1}]
    with pytest.raises(UserError) as caught:
        load(ranged)
    [fault] = caught.value.faults
    assert "unknown key axes.learning_rate.overrides.Random.tiny.ends; did you mean end" in fault


def test_a_pretraining_has_one_factor(load: Callable[..., Grid], grid_text: str) -> None:
    with pytest.raises(UserError, match="pre-training has one rate, found 2"):
        load(grid_text, "pretrain.learning_rate={range_test: {fallback: 0.1}, times: [1, 2]}")
