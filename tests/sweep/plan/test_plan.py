"""The plan: each stage once, its upstream right, and a key that changes when the work does and never else."""

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
from trainables.errors import UserError
from trainables.specs import FileWeights, RandomWeights, Stage, StageWeights

Planned = Callable[..., Plan]
Document = dict[str, Any]

SCENARIOS = {
    "Random": {},
    "Start": {"start": "imagenet"},
    "Tissue": {"pretrain": "tissue"},
    "Both": {"pretrain": ["tissue", "scenes"]},
    "Start+Both": {"start": "imagenet", "pretrain": ["tissue", "scenes"]},
    "Reversed": {"pretrain": ["scenes", "tissue"]},
}


@pytest.fixture
def rich(document: Document) -> Document:
    """A grid with every sort of scenario, two architectures and two rates."""
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["weights"] = {"imagenet": {"tiny": {"file": "a"}, "resnet18": {"file": "b"}}}
    document["scenarios"] = dict(SCENARIOS)
    document["axes"]["architecture"] = ["tiny", "resnet18"]
    return document


def keys(plan: Plan, *fields: str) -> dict[Any, str]:
    """Key of each stage by what does not depend on the names of scenarios."""
    return {tuple(getattr(stage, field) for field in fields): str(stage.key) for stage in plan.stages}


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


LABELS = ("kind", "scenario", "name")


def test_names_that_people_read_are_not_in_a_key(planned: Planned, rich: Document) -> None:
    before = {stage.key for stage in planned(rich).stages}
    renamed = json.loads(json.dumps(rich).replace("Tissue", "Gewebe").replace('"imagenet"', '"natural"'))
    renamed["data"] = {"p": renamed["data"]["tissue"], "q": renamed["data"]["scenes"], "c": renamed["data"]["cells"]}
    renamed["target"] = "c"
    for scenario in renamed["scenarios"].values():
        names = scenario.get("pretrain", [])
        scenario["pretrain"] = [
            {"tissue": "p", "scenes": "q"}[n] for n in ([names] if isinstance(names, str) else names)
        ]
    renamed["architectures"] = {"small": renamed["architectures"]["tiny"]}
    renamed["axes"]["architecture"] = ["small", "torchvision/resnet18"]
    renamed["weights"]["natural"] = {"small": {"file": "a"}, "torchvision/resnet18": {"file": "b"}}
    plan = planned(renamed)
    assert {stage.scenario for stage in plan.cells} >= {"Gewebe", "Random"}
    assert {stage.key for stage in plan.stages} == before


@pytest.mark.parametrize(
    "setting",
    [
        "architecture=[tiny, resnet18, resnet34]",
        "learning_rate=[0.01, 0.02, 0.05]",
        "scenarios.More={start: imagenet, pretrain: scenes}",
        "seed=[0, 5]",
    ],
)
def test_more_of_an_axis_leaves_the_keys_of_the_rest(planned: Planned, rich: Document, setting: str) -> None:
    rich["weights"]["imagenet"]["resnet34"] = {"file": "c"}
    before, after = ({stage.key for stage in planned(rich, *more).stages} for more in ((), (setting,)))
    assert before < after


def changed(planned: Planned, document: Document, *settings: str) -> set[str]:
    """Which (kind, scenario) have another key after the settings: all or none of their stages."""
    before, after = keys(planned(document), *LABELS), keys(planned(document, *settings), *LABELS)
    assert before.keys() == after.keys()
    different = {label[:2] for label in before if before[label] != after[label]}
    same = {label[:2] for label in before if before[label] == after[label]}
    assert not different & same
    return {f"{kind} {scenario}" for kind, scenario in different}


def test_a_change_of_the_fine_tuning_leaves_the_pretraining(planned: Planned, rich: Document) -> None:
    different = changed(planned, rich, "finetune.epochs=4")
    assert different == {f"finetune {scenario}" for scenario in SCENARIOS}


def test_a_change_of_the_pretraining_changes_what_starts_from_it(planned: Planned, rich: Document) -> None:
    different = changed(planned, rich, "pretrain.epochs=4")
    after = {f"finetune {scenario}" for scenario in ("Tissue", "Both", "Start+Both", "Reversed")}
    assert {d for d in different if d.startswith("finetune")} == after
    assert different - after == {f"pretrain {scenario}" for scenario in ("Tissue", "Both", "Start+Both", "Reversed")}


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


@pytest.mark.parametrize(
    "setting",
    [
        "recipe.batch_size=16",
        "recipe.threads=2",
        "recipe.precision=bf16",
        "recipe.augmentation={flip: false}",
        "architectures.tiny.options={x: 1}",
        "data.cells.images_per_class=7",
        "split.val_fraction=0.4",
    ],
)
def test_whatever_can_change_a_result_is_in_the_key(planned: Planned, document: Document, setting: str) -> None:
    before, after = keys(planned(document), *LABELS), keys(planned(document, setting), *LABELS)
    assert before.keys() == after.keys()
    assert all(before[cell] != after[cell] for cell in before if cell[0] == "finetune")


@pytest.mark.parametrize("setting", ["keep_weights=pretrain", "study=other", "weights.unused={tiny: {file: x}}"])
def test_what_changes_no_result_is_not_in_the_key(planned: Planned, document: Document, setting: str) -> None:
    assert keys(planned(document, setting), *LABELS) == keys(planned(document), *LABELS)


def test_a_default_written_out_is_the_same_work(planned: Planned, document: Document) -> None:
    written = planned(document, "recipe.momentum=0.9", "scenarios.Random={start: random}", "seed=[0]")
    assert keys(written, *LABELS) == keys(planned(document), *LABELS)


def test_other_data_or_weights_are_other_work(load: Callable[..., Grid], at_hand: Any, rich: Document) -> None:
    grid = load(rich)
    one, other = (make_plan(grid, at_hand(grid, salt)) for salt in ("", "other"))
    assert not {s.key for s in one.stages} & {s.key for s in other.stages}


def test_without_inputs_keys_are_unknown_and_upstream_is_by_name(load: Callable[..., Grid], rich: Document) -> None:
    plan = make_plan(load(rich), Inputs())
    names = [stage.name for stage in plan.stages]
    assert len(set(names)) == len(names) == 60
    assert all(stage.key is None for stage in plan.stages)
    assert {up for stage in plan.stages for up in stage.upstream} <= set(names)
    assert plan.unshared == 104
    with pytest.raises(ValueError, match="no key yet"):
        _ = plan.stages[0].folder


def test_only_the_keys_that_need_a_missing_input_are_unknown(
    load: Callable[..., Grid], at_hand: Any, rich: Document
) -> None:
    grid = load(rich)
    inputs = at_hand(grid)
    del inputs.data["scenes"], inputs.splits["scenes"], inputs.weights["imagenet", "tiny"]
    for stage in make_plan(grid, inputs).stages:
        starts_from_weights = stage.architecture == "tiny" and stage.scenario in ("Start", "Start+Both")
        needs_scenes = stage.data.name == "scenes" or (
            stage.scenario in ("Both", "Start+Both", "Reversed") and stage.kind == "finetune"
        )
        after_scenes = stage.kind == "pretrain" and stage.scenario == "Reversed"
        assert (stage.key is None) == (starts_from_weights or needs_scenes or after_scenes), stage.name


def test_two_names_for_the_same_work_are_refused(planned: Planned, document: Document) -> None:
    document["architectures"]["also_tiny"] = {"model": "test_resnet"}
    document["axes"]["architecture"] = ["tiny", "also_tiny"]
    with pytest.raises(
        UserError, match=r"tiny-Random-fold0-lr0\.02-seed0 and also_tiny-Random-fold0-lr0\.02-seed0"
    ) as caught:
        planned(document)
    assert len(caught.value.faults) == 9
    document["defaults"] = [{"match": {"architecture": "also_tiny"}, "set": {"optimizer": "adamw"}}]
    assert len(planned(document).stages) == 18, "the same network under another recipe is other work"


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
    document["axes"]["seed"] = list(range(1250))
    began = time.perf_counter()
    grid = load(document)
    plan = make_plan(grid, at_hand(grid))
    assert len(plan.cells) == 10_000
    assert len({stage.key for stage in plan.stages}) == 11_250
    assert time.perf_counter() - began < 15


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


@pytest.mark.parametrize("rates", ["[0.02, 0.05]", "{range_test: {fallback: 0.01, steps: 20}, times: [0.5, 2]}"])
@pytest.mark.parametrize("known", [True, False])
def test_stages_that_are_made_alike_have_the_keys_they_would_compute_themselves(
    load: Callable[..., Grid], at_hand: Any, rich: Document, rates: str, known: bool
) -> None:
    rich["defaults"] = [{"match": {"scenario": "Both", "data": "tissue"}, "set": {"epochs": 9}}]
    grid = load(
        rich,
        f"learning_rate={rates}",
        "seed=[0, 1]",
        f"pretrain.learning_rate={rates.replace('[0.5, 2]', '[1]').replace('[0.02, 0.05]', '0.02')}",
    )
    inputs = at_hand(grid)
    if not known:
        del inputs.data["scenes"]
    stages = make_plan(grid, inputs).stages
    assert {stage.kind for stage in stages} >= {"pretrain", "finetune"}
    for stage in stages:
        assert stage.key == Stage.model_validate(stage.model_dump()).key
    assert all(stage.key for stage in stages) == known
