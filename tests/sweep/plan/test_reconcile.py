"""An edited grid, stale stages, and why two stages differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.plan.plan import Plan
from sweep.plan.reconcile import reconcile, stale
from sweep.plan.stage_diff import differences, stage_diff
from trainables.errors import UserError
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import StageFolder, Study

Planned = Callable[..., Plan]


def test_what_is_new_and_what_no_longer_belongs(planned: Planned, grid_text: str) -> None:
    before, after = planned(grid_text), planned(grid_text, "learning_rate=[0.05, 0.1]")
    edited = reconcile(after, [stage.folder for stage in before.stages])
    assert len(edited.new) == len(edited.left_alone) == 4
    assert all("-lr0.1-" in name for name in edited.new)
    assert all("-lr0.02-" in name for name in edited.left_alone)
    assert len(edited.kept) == 5


def test_a_renamed_stage_is_known_by_its_key(planned: Planned, grid_text: str) -> None:
    folders = [stage.folder.replace("Random", "Zufall") for stage in planned(grid_text).stages]
    assert reconcile(planned(grid_text), folders).new == ()


def test_a_stage_is_stale_once_its_upstream_has_other_weights(planned: Planned, grid_text: str) -> None:
    plan = planned(grid_text)
    [pretraining] = [str(stage.key) for stage in plan.stages if stage.kind == "pretrain"]
    results: dict[str, dict[str, Any]] = {str(stage.key): {"digests": {layout.WEIGHTS: "a"}} for stage in plan.stages}
    below = {str(cell.key) for cell in plan.cells if cell.upstream}
    for key in below:
        results[key]["upstream_digests"] = {pretraining: "a"}
    assert stale(plan.stages, results) == set()
    results[pretraining]["digests"][layout.WEIGHTS] = "b"
    assert stale(plan.stages, results) == below
    one = sorted(below)[0]
    del results[one]
    assert stale(plan.stages, results) == below - {one}, "what is not done is not stale"
    del results[pretraining]
    assert stale(plan.stages, results) == set(), "what is not known yet speaks against nothing"


def test_a_stage_is_stale_once_its_range_test_finds_another_rate(planned: Planned, document: dict[str, Any]) -> None:
    document["axes"]["learning_rate"] = {"range_test": {"fallback": 0.1}, "times": [0.5]}
    plan = planned(document, "scenario=[Random]", "fold=[0]")
    test, cell = (str(stage.key) for stage in plan.stages)
    assert stale(plan.stages, {test: {"learning_rate": 0.02}, cell: {"learning_rate": 0.01}}) == set()
    assert stale(plan.stages, {test: {"learning_rate": 0.04}, cell: {"learning_rate": 0.01}}) == {cell}


def test_the_fields_in_which_two_stages_differ(planned: Planned, grid_text: str) -> None:
    one, other = planned(grid_text), planned(grid_text, "finetune.augmentation={rotate: 10}", "seed=[3]")
    found = differences(one.cells[0].document(), other.cells[0].document())
    assert ("seed", 0, 3) in found
    assert ("recipe.augmentation.rotate", 180.0, 10.0) in found
    assert {field for field, *_ in found} == {"name", "seed", "recipe.augmentation.rotate"}
    assert differences(one.cells[0].document(), one.cells[0].document()) == []


def test_the_reason_is_followed_upstream(planned: Planned, document: dict[str, Any], tmp_path: Path) -> None:
    document["scenarios"]["Scenes"] = {"pretrain": "scenes"}
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    plan, study = planned(document), Study(Storage(str(tmp_path)))
    tissue, scenes = (next(cell for cell in plan.cells if cell.scenario == s) for s in ("Tissue", "Scenes"))
    above = [stage for stage in plan.stages if stage.kind == "pretrain"]
    lines = stage_diff(plan, study, tissue.name, scenes.name).splitlines()
    one, other = (f"{str(stage.key)[:16]} ({stage.name})" for stage in above)
    assert f"upstream: {one} | {other}" in lines
    assert lines[-1] == f"their upstream stages differ too: --why {' '.join(str(s.key)[:16] for s in above)}"
    asked = lines[-1].split()[-2:]
    assert "data.name (a label, not in the key): tissue | scenes" in stage_diff(plan, study, *asked).splitlines()
    random = next(cell for cell in plan.cells if cell.scenario == "Random")
    assert f"upstream: {one} | none" in stage_diff(plan, study, tissue.name, random.name).splitlines()


def test_a_stage_of_an_earlier_grid_is_read_from_its_folder(planned: Planned, grid_text: str, tmp_path: Path) -> None:
    study = Study(Storage(str(tmp_path)))
    earlier, plan = planned(grid_text, "finetune.epochs=2"), planned(grid_text)
    old = earlier.cells[0]
    StageFolder(study.storage, old.folder).begin(old)
    text = stage_diff(plan, study, str(old.key)[:10], plan.cells[0].name)
    assert "recipe.epochs: 2 | 3" in text
    assert str(old.key) in text
    text = stage_diff(plan, study, plan.cells[0].name, plan.cells[0].name)
    assert "they do not differ" in text
    with pytest.raises(UserError, match="names 0 stages"):
        stage_diff(plan, study, "nosuch", plan.cells[0].name)
