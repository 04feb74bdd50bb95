"""The plan: each stage once, its upstream right, and the names of all."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan, summary
from tests.sweep.support.rich_grid import SCENARIOS
from trainables.specs import FileWeights, RandomWeights, Stage, StageWeights

Planned = Callable[..., Plan]
Document = dict[str, Any]


def pretraining(plan: Plan, architecture: str = "tiny") -> dict[tuple[str, ...], Stage]:
    """The pre-training stages of an architecture, by (start, data sets in order)."""
    by_id = {stage.identifier: stage for stage in plan.stages}

    def path(stage: Stage) -> tuple[str, ...]:
        before = path(by_id[stage.upstream[0]]) if stage.upstream else (stage.initial.source,)
        return (*before, stage.data.name)

    stages = [s for s in plan.stages if s.kind == "pretrain" and s.architecture == architecture]
    found = {path(stage): stage for stage in stages}
    assert len(found) == len(stages), "each once"
    return found


def test_pretraining_is_shared_by_folds_rates_and_chains_that_begin_alike(planned: Planned, rich: Document) -> None:
    plan = planned(rich)
    assert set(pretraining(plan)) == {
        ("random", "tissue"),
        ("random", "tissue", "scenes"),
        ("file", "tissue"),
        ("file", "tissue", "scenes"),
        ("random", "scenes"),
        ("random", "scenes", "tissue"),
    }
    assert plan.counts() == {"pretrain": 2 * 6, "finetune": 2 * 6 * 2 * 2}
    assert plan.unshared == 2 * 2 * 2 * (1 + 1 + 2 + 3 + 3 + 3)


def test_each_seed_has_a_pretraining_of_its_own(planned: Planned, rich: Document) -> None:
    one, two = planned(rich), planned(rich, "seed=[0, 1]")
    assert two.counts() == {kind: 2 * count for kind, count in one.counts().items()}
    assert {s.key for s in one.stages} < {s.key for s in two.stages}


def test_a_cell_starts_from_the_end_of_its_chain(planned: Planned, rich: Document) -> None:
    plan = planned(rich)
    before = {path: stage.key for path, stage in pretraining(plan).items()}
    last = {
        "Tissue": ("random", "tissue"),
        "Both": ("random", "tissue", "scenes"),
        "Start+Both": ("file", "tissue", "scenes"),
        "Reversed": ("random", "scenes", "tissue"),
    }
    for cell in plan.cells:
        if cell.architecture == "tiny" and cell.scenario in last:
            assert cell.upstream == (before[last[cell.scenario]],)
            assert cell.initial == StageWeights(key=cell.upstream[0])
        elif cell.scenario in ("Random", "Start"):
            assert cell.upstream == ()
    initial = {cell.scenario: cell.initial for cell in plan.cells}
    assert initial["Random"] == RandomWeights()
    assert isinstance(initial["Start"], FileWeights)
    assert initial["Start"].name == "imagenet"


def test_a_pretraining_is_of_its_data_and_of_no_fold(planned: Planned, rich: Document, at_hand: Any, load: Any) -> None:
    inputs = at_hand(load(rich))
    for stage in planned(rich).stages:
        assert stage.data.fingerprint == inputs.data[stage.data.name].fingerprint
        assert stage.split == inputs.splits[stage.data.name].digest
        assert (stage.fold is None) == (stage.kind == "pretrain")
        assert (stage.data.name == "cells") == (stage.kind == "finetune")


def test_names_are_unique_and_safe_in_a_file_system(planned: Planned, rich: Document) -> None:
    rich["scenarios"]["A / B: *é?\n"] = {"start": "imagenet", "pretrain": "tissue"}
    rich["axes"]["architecture"].append("my.nets:Net")
    rich["weights"]["imagenet"]["my.nets:Net"] = {"file": "c"}
    plan = planned(rich, "learning_rate=[0.02, 0.05, 1e-5]", "seed=[0, 1]")
    folders = [stage.folder for stage in plan.stages]
    assert len(set(folders)) == len({stage.name for stage in plan.stages}) == len(folders)
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", folder) for folder in folders)
    for stage in plan.stages:
        assert stage.folder == f"{stage.kind}-{stage.name}-{str(stage.key)[:16]}"


def test_a_plan_is_the_same_whenever_it_is_made(planned: Planned, rich: Document) -> None:
    assert planned(rich).stages == planned(rich).stages


def test_a_pretraining_rate_of_ones_own_is_a_pretraining_of_ones_own(planned: Planned, rich: Document) -> None:
    rates = {"Tissue": 0.1, "Both": 0.2, "Start+Both": 0.1, "Reversed": 0.1}
    rich["pretrain"]["learning_rate"] = {"table": {s: {"tiny": r, "resnet18": r} for s, r in rates.items()}}
    plan = planned(rich)
    stages = {str(stage.key): stage for stage in plan.stages}
    for cell in plan.cells:
        stage = cell
        while stage.upstream:
            stage = stages[stage.upstream[0]]
            assert stage.learning_rate == rates[cell.scenario]
    assert plan.counts()["pretrain"] == 2 * 7, "Tissue and Both no longer begin alike"
    assert len({stage.name for stage in plan.stages}) == len(plan.stages)


def test_a_rule_for_one_scenario_is_not_lost_where_another_shares_its_pretraining(
    planned: Planned, rich: Document
) -> None:
    rich["defaults"] = [{"match": {"scenario": "Both", "data": "tissue"}, "set": {"epochs": 9}}]
    for inputs_at_hand in (True, False):
        plan = planned(rich) if inputs_at_hand else make_plan(planned(rich).grid, Inputs())
        stages = {stage.identifier: stage for stage in plan.stages}
        epochs = {}
        for cell in plan.cells:
            stage = cell
            while stage.upstream:
                stage = stages[stage.upstream[0]]
                epochs[cell.scenario, stage.data.name] = stage.recipe.epochs
        assert epochs["Both", "tissue"] == 9
        assert epochs["Tissue", "tissue"] == epochs["Both", "scenes"] == 2
        assert len({stage.name for stage in plan.stages}) == len(plan.stages)


def test_a_plan_as_a_document(planned: Planned, rich: Document, load: Callable[..., Grid], at_hand: Any) -> None:
    plan = planned(rich)
    document = json.loads(json.dumps(plan.document("mine", at_hand(load(rich)))))
    assert document["study"] == "mine"
    assert document["target"] == "cells"
    assert document["classes"] == ["a", "b"]
    assert document["axes"] == {
        "architecture": ["tiny", "resnet18"],
        "scenario": list(SCENARIOS),
        "fold": [0, 1],
        "learning_rate": [0.02, 0.05],
        "seed": [0],
    }
    assert document["stages"] == [summary(stage) for stage in plan.stages]
    assert {"kind", "name", "key", "upstream"} < document["stages"][0].keys()


def test_costs_are_known_for_every_stage(load: Callable[..., Grid], at_hand: Any, rich: Document) -> None:
    grid = load(rich)
    for inputs in (at_hand(grid), Inputs()):
        plan = make_plan(grid, inputs)
        costs = inputs.costs(plan.stages, plan.grid.file)
        assert costs.keys() == {stage.identifier for stage in plan.stages}
        assert all(cost > 0 for cost in costs.values())


grids = st.fixed_dictionaries(
    {
        "architectures": st.lists(st.sampled_from(["resnet18", "vit_b_16", "timm/test_vit", "a.b:C"]), min_size=1, unique=True),
        "scenarios": st.lists(
            st.tuples(
                st.sampled_from(["random", "imagenet"]),
                st.lists(st.sampled_from(["p", "q", "r"]), max_size=3).map(tuple),
            ),
            min_size=1,
            max_size=5,
            unique=True,
        ),
        "folds": st.integers(2, 4),
        "rates": st.lists(st.sampled_from([1e-4, 0.003, 0.1, 1.0]), min_size=1, unique=True),
        "seeds": st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True),
    }
)  # fmt: skip


@settings(max_examples=60)
@given(drawn=grids, known=st.booleans())
def test_any_grid_gives_a_sound_graph(
    load: Callable[..., Grid], at_hand: Any, drawn: dict[str, Any], known: bool
) -> None:
    generated = {"reader": "generated", "generator": "scenes"}
    grid = load(
        {
            "target": "t",
            "data": {name: {**generated, "seed": seed} for seed, name in enumerate("tpqr")},
            "split": {"folds": drawn["folds"]},
            "weights": {"imagenet": {name: {"file": name} for name in drawn["architectures"]}},
            "scenarios": {f"s{i}": {"start": s, "pretrain": list(p)} for i, (s, p) in enumerate(drawn["scenarios"])},
            "axes": {"architecture": drawn["architectures"], "learning_rate": drawn["rates"], "seed": drawn["seeds"]},
            "pretrain": {"learning_rate": 0.1},
        }
    )
    plan = make_plan(grid, at_hand(grid) if known else Inputs())
    axes = ("architectures", "scenarios", "rates", "seeds")
    product = drawn["folds"]
    for axis in axes:
        product *= len(drawn[axis])
    assert len(plan.cells) == product
    beginnings = {(start, chain[:n]) for start, chain in drawn["scenarios"] for n in range(1, len(chain) + 1)}
    assert len(plan.stages) - product == len(beginnings) * len(drawn["architectures"]) * len(drawn["seeds"])
    per_cell = sum(1 + len(chain) for _, chain in drawn["scenarios"])
    assert plan.unshared == per_cell * product // len(drawn["scenarios"])
    seen: set[str] = set()
    for stage in plan.stages:
        assert set(stage.upstream) <= seen, "upstream before downstream"
        assert (stage.key is not None) == known
        seen.add(stage.identifier)
    assert len(seen) == len(plan.stages)


@pytest.mark.slow
def test_ten_thousand_cells_are_planned_in_seconds(load: Callable[..., Grid], at_hand: Any, document: Document) -> None:
    """Processor seconds, with room for a slow machine: ``benchmarks/growth.py planned`` holds 10,000 stages to 2 s."""
    document["axes"]["seed"] = list(range(1250))
    began = time.process_time()
    grid = load(document)
    plan = make_plan(grid, at_hand(grid))
    assert len(plan.cells) == 10_000
    assert len({stage.key for stage in plan.stages}) == 11_250
    assert time.process_time() - began < 8


def test_the_paper_is_planned_as_its_tables_say(at_hand: Any) -> None:
    grid = load_grid("paper")
    plan = make_plan(grid, at_hand(grid))
    assert {(s.architecture, s.scenario) for s in plan.stages if s.kind == "pretrain"} == {
        (architecture, scenario)
        for architecture in ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")
        for scenario in ("PCam", "CD", "ImageNet+PCam", "ImageNet+CD")
    }
    rates = {(s.kind, s.architecture, s.scenario): s.learning_rate for s in plan.stages}
    assert rates["pretrain", "resnet152", "CD"] == 0.03
    assert rates["finetune", "vit_l_32", "ImageNet+CD"] == 0.002
    assert all(s.recipe.image_size == 224 for s in plan.stages)
