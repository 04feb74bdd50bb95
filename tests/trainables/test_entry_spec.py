"""Tests of recipes and stages that name entries: what is refused, and what is in the key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.trainables.support.plugins import forget, install_toy, put_on_path
from tests.trainables.support.stage_bench import Bench, run
from trainables.entry_spec import SECTION, Plugin
from trainables.errors import UserError
from trainables.specs import Augmentation, Recipe, Stage

TOY_RECIPE: dict[str, Any] = {
    "optimizer": "toy_sign",
    "decay": "toy_linear",
    "stopping": "toy_loss",
    "stopping_options": {"limit": 0.01},
    "metrics": ["toy_confidence", "top_k_accuracy"],
    "augmentation": {"operations": [{"name": "toy_negative", "options": {"probability": 0.1}}]},
}
TOY_KINDS = {"augmentation", "learning-rate schedule", "metric", "optimizer", "stopping rule"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install the toy distribution in a version."""

    def install(version: str = "1.0") -> None:
        put_on_path(install_toy(tmp_path / version, version), monkeypatch)

    yield install
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adam"}, "no optimizer adam; there are adamw, sgd, .*did you mean adamw"),
        ({"decay": "cosin"}, "no learning-rate schedule cosin; there are constant, .*did you mean cosine"),
        ({"stopping": "patient"}, "no stopping rule patient; there are patience,"),
        ({"metrics": ["auc"]}, "no metric auc; there are top_k_accuracy,"),
        ({"metrics": ["f1_macro"]}, "no metric f1_macro"),
        ({"metrics": ["top_k_accuracy", {"name": "top_k_accuracy", "options": {"k": 3}}]}, "top_k_accuracy twice"),
        ({"metrics": [{"name": "top_k_accuracy", "options": {"n": 3}}]}, "top_k_accuracy has no option n; there are k"),
        ({"augmentation": {"operations": ["blur"]}}, "no augmentation blur; there are gaussian_blur,"),
        ({"optimizer_options": {"nesterov": True}}, "the optimizer sgd has no option nesterov; it has none"),
        ({"decay": "cosine", "decay_options": {"end": 0.1}}, "the learning-rate schedule cosine has no option end"),
    ],
    ids=str,
)
def test_a_name_without_an_entry_is_an_error_at_once(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(fields)


def test_a_section_of_a_grid_is_checked_for_names_only() -> None:
    """The name may stand in one section, the options in another."""
    section = {"optimizer_options": {"share": 0.2}, "stopping_options": {"limit": 0.1}}
    assert Recipe.model_validate(section, context=SECTION).optimizer_options == {"share": 0.2}
    with pytest.raises(ValidationError, match="no optimizer adam"):
        Recipe.model_validate({"optimizer": "adam"}, context=SECTION)


def test_own_entries_at_their_defaults_leave_the_key_alone(bench: Bench) -> None:
    spelt = {
        "optimizer_options": {},
        "decay_options": {},
        "stopping": "patience",
        "stopping_options": {},
        "metrics": [],
    }
    plain = bench.stage()
    assert plain.plugins == ()
    assert bench.stage(recipe=spelt).key == plain.key
    later = {"optimizer_options", "decay_options", "stopping", "stopping_options", "metrics"}
    assert not later & plain.identity()["recipe"].keys()
    assert not {"plugins", "reader"} & (plain.identity().keys() | plain.identity()["data"].keys())


def test_options_are_hashed_with_their_defaults(bench: Bench) -> None:
    def key(**options: Any) -> str | None:
        return bench.stage(recipe={"metrics": [{"name": "top_k_accuracy", "options": options}]}).key

    assert key() == key(k=2) != key(k=3)
    assert key() != bench.stage().key


def test_the_order_of_operations_is_in_the_key(bench: Bench, toy: Any) -> None:
    toy()
    there, back = (
        bench.stage(recipe={"augmentation": Augmentation(operations=order)})
        for order in (("gaussian_blur", "toy_negative"), ("toy_negative", "gaussian_blur"))
    )
    assert there.key != back.key


@pytest.mark.slow
def test_who_publishes_an_entry_is_in_the_key(bench: Bench, toy: Any) -> None:
    toy("1.0")
    first = bench.stage(recipe=TOY_RECIPE)
    assert {(plugin.kind, plugin.distribution, plugin.version) for plugin in first.plugins} == {
        (kind, "toy-plugin", "1.0") for kind in TOY_KINDS
    }
    assert first.recipe.optimizer_options == {"share": 0.1}
    assert first.recipe.decay_options == {"end": 0.0}
    toy("1.1")
    second = bench.stage(recipe=TOY_RECIPE)
    assert second.recipe == first.recipe
    assert second.key != first.key
    assert bench.stage(recipe=TOY_RECIPE | {"optimizer_options": {"share": 0.2}}).key != second.key
    assert bench.stage().key == bench.stage(recipe={"stopping": "patience"}).key, "own entries: whatever is installed"


@pytest.mark.slow
def test_a_stage_can_be_read_where_its_entries_are_not_installed(
    bench: Bench, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy()
    stage = bench.stage(recipe=TOY_RECIPE)
    document = json.loads(json.dumps(stage.document()))
    monkeypatch.undo()
    forget()
    with pytest.raises(ValidationError, match="no optimizer toy_sign"):
        bench.stage(recipe=TOY_RECIPE)
    assert Stage.from_document(document) == stage
    assert Stage.from_document(document).key == stage.key


def test_a_stage_does_not_run_with_another_version_than_planned(bench: Bench, toy: Any, tmp_path: Path) -> None:
    toy("1.0")
    stage = bench.stage(recipe={"optimizer": "toy_sign", "epochs": 1})
    toy("1.1")
    with pytest.raises(
        UserError, match=r"planned with the optimizer toy_sign of toy-plugin 1\.0, here .* toy-plugin 1\.1"
    ):
        run(stage, bench.study(tmp_path / "study"), bench.runtime)


def test_an_entry_of_the_project_has_no_plugin() -> None:
    assert Plugin.of("optimizer", "sgd") is None
    with pytest.raises(UserError, match="no optimizer adam"):
        Plugin.of("optimizer", "adam")


@pytest.mark.slow
def test_entries_of_others_train(bench: Bench, toy: Any, tmp_path: Path) -> None:
    """Each does its part: the rule stops after the first epoch, the metric is in result and history."""
    toy()
    recipe = TOY_RECIPE | {"epochs": 3, "stopping_options": {"limit": 1e9}}
    ran = run(bench.stage(recipe=recipe), bench.study(tmp_path / "study"), bench.runtime)
    history = ran.table("history.parquet").to_pylist()
    assert [row["split"] for row in history] == ["train", "val"], "one epoch of three"
    assert history[0]["toy_confidence"] is None
    assert history[1]["toy_confidence"] == pytest.approx(ran.result["metrics"]["val_toy_confidence"], rel=1e-6)
    assert 0 < ran.result["metrics"]["test_toy_confidence"] <= 1
    assert ran.result["metrics"]["test_top_k_accuracy"] >= ran.result["metrics"]["test_accuracy"]
    assert ran.result["selected_on"] == "val f1_macro"
