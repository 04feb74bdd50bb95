"""A key changes when the work does, and never else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sweep.grid.grid import Grid
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan, make_plan
from tests.sweep.support.rich_grid import SCENARIOS
from trainables.errors import UserError
from trainables.specs import Stage

Planned = Callable[..., Plan]
Document = dict[str, Any]


def keys(plan: Plan, *fields: str) -> dict[Any, str]:
    """Key of each stage by what does not depend on the names of scenarios."""
    return {tuple(getattr(stage, field) for field in fields): str(stage.key) for stage in plan.stages}


LABELS = ("kind", "scenario", "name")


def changed(planned: Planned, document: Document, *settings: str) -> set[str]:
    """Which (kind, scenario) have another key after the settings: all or none of their stages."""
    before, after = keys(planned(document), *LABELS), keys(planned(document, *settings), *LABELS)
    assert before.keys() == after.keys()
    different = {label[:2] for label in before if before[label] != after[label]}
    same = {label[:2] for label in before if before[label] == after[label]}
    assert not different & same
    return {f"{kind} {scenario}" for kind, scenario in different}


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


def test_a_change_of_the_fine_tuning_leaves_the_pretraining(planned: Planned, rich: Document) -> None:
    different = changed(planned, rich, "finetune.epochs=4")
    assert different == {f"finetune {scenario}" for scenario in SCENARIOS}


def test_a_change_of_the_pretraining_changes_what_starts_from_it(planned: Planned, rich: Document) -> None:
    different = changed(planned, rich, "pretrain.epochs=4")
    after = {f"finetune {scenario}" for scenario in ("Tissue", "Both", "Start+Both", "Reversed")}
    assert {d for d in different if d.startswith("finetune")} == after
    assert different - after == {f"pretrain {scenario}" for scenario in ("Tissue", "Both", "Start+Both", "Reversed")}


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


@pytest.mark.parametrize("rates", ["[0.02, 0.05]", "{range_test: {fallback: 0.01, steps: 20}, times: [0.5, 2]}"])
@pytest.mark.parametrize("known", [True, False])
def test_a_stage_that_is_read_back_has_the_same_key(
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
