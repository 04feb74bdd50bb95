"""Editions of the defaults: what they fill in, and that a study keeps the one it was begun with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from sweep.commands.study_header import load_for_study
from sweep.grid.editions import CHANGES, FIRST, LATEST, Default, edition_note, fill_defaults
from sweep.grid.grid import Grid
from sweep.grid.loader import load_grid
from sweep.grid.schema import GridFile, RangeTest
from sweep.grid.yaml_document import parse
from trainables.data.readers.base import DataSource
from trainables.data.readers.reading_defaults import MENDED
from trainables.data.splits.splits import SplitSpec
from trainables.errors import UserError
from trainables.later_fields import FIELDS_ADDED_LATER
from trainables.specs import Recipe
from trainables.store.storage import Storage
from trainables.store.study import Study

SECTIONS: dict[str, type[BaseModel]] = {
    "recipe": Recipe,
    "split": SplitSpec,
    "range_test": RangeTest,
    "data": DataSource,
    "grid": GridFile,
}
CHANGED = [change for changes in CHANGES.values() for change in changes]


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: f"{change.section}.{change.field}")
def test_the_first_edition_is_what_the_schema_says(change: Default) -> None:
    """A stage of an old study has no such field: read with the schema's default, it must have its old key."""
    field = SECTIONS[change.section].model_fields[change.field]
    assert field.default != change.value
    if change.section == "recipe":
        assert FIELDS_ADDED_LATER.get(f"recipe.{change.field}", field.default) == field.default


def test_an_edition_fills_in_what_a_grid_leaves_out(load: Callable[..., Grid], grid_text: str) -> None:
    assert load(grid_text).file.edition == LATEST
    assert load(grid_text).recipe({"kind": "finetune"}).epoch_ties == "val_loss"
    assert load(grid_text, "edition=1").recipe({"kind": "finetune"}).epoch_ties == "earliest"
    assert load(grid_text, "edition=1", "finetune.epoch_ties=val_loss").recipe({"kind": "pretrain"}).epoch_ties == (
        "earliest"
    )
    assert load(grid_text, "recipe.epoch_ties=earliest").recipe({"kind": "finetune"}).epoch_ties == "earliest"


def test_the_grid_of_a_study_has_its_edition_written_out(load: Callable[..., Grid], grid_text: str) -> None:
    for edition in range(FIRST, LATEST + 1):
        grid = load(grid_text, f"edition={edition}")
        again = load(grid.resolved())
        assert again.file.edition == edition
        assert again.file == load(again.resolved()).file


def test_range_tests_and_data_sets_have_defaults_of_an_edition_too(monkeypatch: pytest.MonkeyPatch) -> None:
    later = (Default("range_test", "steps", 50, ""), Default("data", "size", 64, ""), Default("split", "folds", 3, ""))
    monkeypatch.setitem(CHANGES, LATEST, later)
    grid: dict[str, Any] = {
        "data": {"a": {"reader": "generated"}, "b": {"size": 32}, "c": "no mapping"},
        "axes": {"learning_rate": {"range_test": {}}},
        "pretrain": {"learning_rate": {"range_test": {"steps": 9}}},
    }
    fill_defaults(grid, LATEST)
    assert grid["data"] == {"a": {"reader": "generated", "size": 64}, "b": {"size": 32}, "c": "no mapping"}
    assert grid["axes"]["learning_rate"]["range_test"] == {"steps": 50}
    assert grid["pretrain"]["learning_rate"]["range_test"] == {"steps": 9}
    assert grid["split"] == {"folds": 3}
    before: dict[str, Any] = {}
    fill_defaults(before, FIRST)
    assert before == {"edition": FIRST}


@pytest.mark.parametrize("given", ["0", "3", "true", "latest", "1.5", "[2]"])
def test_an_edition_that_there_is_not_is_refused(load: Callable[..., Grid], grid_text: str, given: str) -> None:
    if given == str(LATEST):
        pytest.fail("give this test a later edition")
    with pytest.raises(UserError, match="edition"):
        load(grid_text, f"edition={given}")


def test_a_study_goes_on_under_its_edition(grid_text: str, tmp_path: Path) -> None:
    study = Study(Storage(str(tmp_path)))

    def edition(text: str = grid_text) -> int:
        return load_for_study(parse(text, "grid.yaml"), study).file.edition

    assert edition() == LATEST
    study.storage.write_json("study.json", {"name": "s"})
    assert edition() == FIRST, "begun before there were editions"
    study.storage.write_json("study.json", {"name": "s", "edition": LATEST})
    assert edition() == edition(f"{grid_text}\nedition: {LATEST}\n") == LATEST
    with pytest.raises(UserError, match=r"grid.yaml:\d+: edition 1 .* begun with edition 2.*leave `edition` out"):
        edition(f"{grid_text}\nedition: 1\n")
    for unknown in (LATEST + 1, "new", None, True):
        study.storage.write_json("study.json", {"name": "s", "edition": unknown})
        with pytest.raises(UserError, match="this version of the project knows 1 to 2"):
            edition()


def test_another_edition_gives_other_stages(planned: Callable[..., Any], grid_text: str) -> None:
    old, new = planned(grid_text, "edition=1"), planned(grid_text)
    assert not {stage.key for stage in old.stages} & {stage.key for stage in new.stages}
    mended = ["recipe.epoch_ties=val_loss", "recipe.normalisation=auto"]
    for name in ("cells", "tissue"):
        mended += [f"data.{name}.{field}={json.dumps(value)}" for field, (value, _) in MENDED.items()]
    assert planned(grid_text, "edition=1", *mended).stages == new.stages


def test_what_an_old_study_would_have_today_is_told(load: Callable[..., Grid], grid_text: str) -> None:
    assert edition_note(LATEST) == f"defaults of edition {LATEST}"
    assert "recipe.epoch_ties, " in edition_note(FIRST)


def test_the_documentation_lists_every_change() -> None:
    text = (Path(__file__).parents[3] / "docs/grids.md").read_text(encoding="utf-8")
    for edition, changes in CHANGES.items():
        for change in changes:
            name = change.field if change.section == "range_test" else f"{change.section}.{change.field}"
            assert f"| {edition} | `{name}` |" in text or f"| {edition} | `{change.section}.{change.field}` |" in text


def test_embedded_grids_name_no_edition_of_their_own() -> None:
    assert load_grid("smoke").file.edition == LATEST
    assert yaml.safe_load(load_grid("smoke", edition=1).resolved())["edition"] == 1
