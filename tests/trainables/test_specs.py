"""Tests of stages' specifications and keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from trainables import later_fields, specs
from trainables.entry_spec import AS_WRITTEN
from trainables.hashing import digest
from trainables.specs import (
    Augmentation,
    FileWeights,
    FoundRate,
    InitialWeights,
    ModelSpec,
    Ramp,
    RandomWeights,
    Recipe,
    Stage,
    StageData,
    StageWeights,
)

STARTS: dict[str, InitialWeights] = {
    "random": RandomWeights(),
    "file": FileWeights(name="imagenet", sha256="1" * 64),
    "stage": StageWeights(key="2" * 64),
}
KINDS: dict[str, dict[str, Any]] = {
    **{start: {"initial": initial} for start, initial in STARTS.items()},
    "found": {"learning_rate": None, "found_rate": FoundRate(key="5" * 64)},
    "range": {"kind": "lr_range", "learning_rate": None, "ramp": Ramp(fallback=0.01)},
}
LABELS = {"name", "architecture", "scenario", "data.name", "initial.name"}
"""What people call things: not in the key."""

RATES = {"learning_rate", "found_rate", "ramp", "kind"}
"""Of these one alone is given, by the kind of stage: a change of one is a change of another."""

PLUGIN = {"kind": "optimizer", "name": "lion", "distribution": "their-optimizers", "version": "1.0"}
CANDIDATES = [
    *(False, True, 2, 3, 17, 0.001, 0.25, 0.5, 1.5, "another", ["another", "one"], {"depth": 2}),
    {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    PLUGIN,
    [PLUGIN],
]


def make_stage(start: str = "stage", **fields: Any) -> Stage:
    content: dict[str, Any] = {
        "kind": "finetune",
        "name": "resnet18-PCam-f0",
        "architecture": "resnet18",
        "scenario": "PCam",
        "fold": 0,
        "learning_rate": 0.004,
        "seed": 0,
        "split": "3" * 64,
        "upstream": ("2" * 64,),
        "model": ModelSpec(model="torchvision/resnet18"),
        "initial": STARTS["stage"],
        "data": StageData(name="cells", fingerprint="4" * 64, classes=("EOS", "LYT"), size=None),
        "recipe": Recipe(),
    }
    return Stage(**(content | KINDS[start] | fields))


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name of every field that holds no further specification, and its type."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        elif name != "source" and (prefix or name not in RATES):  # what stands for what: see the tests below
            yield f"{prefix}{name}", field.annotation


def changed(stage: Stage, dotted: str, annotation: Any) -> Stage:
    """Return the stage with another valid value in one field."""
    for candidate in [*get_args(annotation), *CANDIDATES]:
        document = stage.model_dump(mode="json")
        *path, last = dotted.split(".")
        place = document
        for part in path:
            place = place[part]
        place[last] = candidate
        try:
            other = Stage.model_validate(document, context=AS_WRITTEN)  # no registry has "another"
        except ValidationError:
            continue
        if other != stage:
            return other
    raise AssertionError(f"no candidate is another valid value of {dotted}: add one")


FIELDS = {(start, dotted): kind for start in KINDS for dotted, kind in leaves(make_stage(start))}
HASHED = [field for field in FIELDS if field[1] not in LABELS]
LABELLED = [field for field in FIELDS if field[1] in LABELS]


@pytest.mark.parametrize(("start", "dotted"), HASHED)
def test_every_field_that_matters_changes_the_key(start: str, dotted: str) -> None:
    stage = make_stage(start)
    assert changed(stage, dotted, FIELDS[start, dotted]).key != stage.key


@pytest.mark.parametrize(("start", "dotted"), LABELLED)
def test_no_label_changes_the_key(start: str, dotted: str) -> None:
    stage = make_stage(start)
    assert changed(stage, dotted, FIELDS[start, dotted]).key == stage.key


def test_the_fields_found_are_all_there_are() -> None:
    """Guards the two tests above against finding nothing to test."""
    names = {dotted for _, dotted in FIELDS}
    assert names >= {f"recipe.{name}" for name in Recipe.model_fields if name != "augmentation"}
    assert names >= {f"recipe.augmentation.{name}" for name in Augmentation.model_fields}
    assert names >= {f"ramp.{name}" for name in Ramp.model_fields}
    assert names >= {
        "found_rate.key",
        "found_rate.times",
        "fold",
        "seed",
        "split",
        "model.options",
        "data.size",
        "initial.sha256",
    }
    assert names >= LABELS


def test_no_two_changes_give_the_same_key() -> None:
    stages = [changed(make_stage(start), dotted, FIELDS[start, dotted]) for start, dotted in HASHED]
    assert len({stage.key for stage in stages}) == len({digest(stage.identity()) for stage in stages}) == len(HASHED)


def test_each_kind_and_rate_has_a_key_of_its_own() -> None:
    stages = [make_stage(start) for start in KINDS] + [make_stage(kind="pretrain"), make_stage(learning_rate=0.005)]
    assert len({stage.key for stage in stages}) == len(stages)


@pytest.mark.parametrize(
    "fields",
    [
        {"learning_rate": None},
        {"found_rate": FoundRate(key="5" * 64)},
        {"ramp": Ramp(fallback=0.1)},
        {"kind": "lr_range"},
        {"kind": "lr_range", "ramp": Ramp(fallback=0.1)},
        {"learning_rate": None, "ramp": Ramp(fallback=0.1)},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_a_stage_has_one_rate_or_is_a_range_test(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a stage trains at a rate"):
        make_stage(**fields)


def test_a_ramp_rises() -> None:
    with pytest.raises(ValidationError, match=r"end \(0.1\) must lie above start \(0.2\)"):
        Ramp(start=0.2, end=0.1, fallback=0.1)


def test_each_start_has_a_key_of_its_own() -> None:
    same_text = "1" * 64
    starts = [RandomWeights(), FileWeights(name="a", sha256=same_text), StageWeights(key=same_text)]
    assert len({make_stage(initial=start).key for start in starts}) == 3


def test_a_raised_semantics_version_changes_the_keys_of_its_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> dict[str, str | None]:
        return {"pretrain": make_stage(kind="pretrain").key} | {make_stage(b).kind: make_stage(b).key for b in KINDS}

    before = keys()
    monkeypatch.setitem(specs.SEMANTICS, "finetune", 2)
    after = keys()
    assert before.keys() == specs.SEMANTICS.keys()
    assert {kind for kind in before if before[kind] != after[kind]} == {"finetune"}


def test_a_known_key() -> None:
    """If it changes, every study there is starts from the beginning: add to FIELDS_ADDED_LATER instead."""
    assert make_stage().key == "c3eed1241d59f7ad650638d6f27139c533df5d8c3da932cd176cb7b6f43976c8"


class LaterAugmentation(Augmentation):
    blur: float = 0.0


class LaterRecipe(Recipe):
    mixup: float = 0.0
    augmentation: LaterAugmentation = LaterAugmentation()


class LaterStage(Stage):
    recipe: LaterRecipe


def later_stage(**recipe: Any) -> LaterStage:
    document = make_stage().model_dump()
    return LaterStage.model_validate(document | {"recipe": document["recipe"] | recipe})


def test_a_later_field_at_its_introduction_value_leaves_old_keys_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert later_stage().key != make_stage().key
    monkeypatch.setattr(later_fields, "FIELDS_ADDED_LATER", {"recipe.mixup": 0.0, "recipe.augmentation.blur": 0.0})
    assert later_stage().key == make_stage().key
    assert later_stage(mixup=0.1).key != make_stage().key
    assert later_stage(augmentation={"blur": 1.0}).key != make_stage().key


def test_the_introduction_value_stays_when_the_default_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later_fields, "FIELDS_ADDED_LATER", {"recipe.mixup": 0.2, "recipe.augmentation.blur": 0.0})
    assert later_stage(mixup=0.2).key == make_stage().key
    assert later_stage().key != make_stage().key


def test_later_fields_of_another_start_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {start: make_stage(start).key for start in STARTS}
    later = {"initial.revision": "v1", "model.nothing.there": 0}
    monkeypatch.setattr(later_fields, "FIELDS_ADDED_LATER", later_fields.FIELDS_ADDED_LATER | later)
    assert {start: make_stage(start).key for start in STARTS} == before


@pytest.mark.parametrize(
    "fields",
    [
        {"split": None},
        {"data": StageData(name="cells", fingerprint=None, classes=("a", "b"), size=None)},
        {"initial": FileWeights(name="imagenet", sha256=None)},
        {"initial": StageWeights(key=None)},
        {"learning_rate": None, "found_rate": FoundRate(key=None)},
    ],
    ids=["split", "fingerprint", "file", "upstream", "range test"],
)
def test_without_an_input_there_is_no_key(fields: dict[str, Any]) -> None:
    stage = make_stage(**fields)
    assert stage.key is None
    with pytest.raises(ValueError, match="resnet18-PCam-f0 has no key yet"):
        _ = stage.folder


def test_the_folder_is_named_after_kind_name_and_key() -> None:
    stage = make_stage()
    assert stage.folder == f"finetune-resnet18-PCam-f0-{str(stage.key)[:16]}"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, {1: 2}, {"a"}, b"a", Path("a"), object()], ids=lambda value: type(value).__name__
)
def test_an_option_without_a_faithful_hash_is_refused(value: Any) -> None:
    stage = make_stage(model=ModelSpec(model="timm/test_vit", options={"deep": [value]}))
    with pytest.raises(TypeError, match=r"model\.options\.deep\[0\].* no faithful hash"):
        _ = stage.key


PLACES = [(), ("recipe",), ("recipe", "augmentation"), ("model",), ("data",), ("initial",)]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(place) or "top")
def test_unknown_keys_are_refused(place: tuple[str, ...]) -> None:
    document = make_stage().model_dump(mode="json")
    target = document
    for name in place:
        target = target[name]
    target["epohcs"] = 3
    with pytest.raises(ValidationError, match=r"epohcs\n\s+Extra inputs are not permitted"):
        Stage.model_validate(document)


def test_a_specification_does_not_change() -> None:
    stage = make_stage()
    with pytest.raises(ValidationError, match="frozen"):
        stage.learning_rate = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        stage.recipe.epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize("start", KINDS)
def test_a_document_gives_the_stage_back(start: str) -> None:
    stage = make_stage(start, model=ModelSpec(model="timm/x", options={"depths": [1, 2]}))
    document = json.loads(json.dumps(stage.document()))
    again = Stage.from_document(document)
    assert again == stage
    assert again.key == stage.key == document["key"]


def test_a_document_has_what_the_contract_names() -> None:
    document = make_stage(fold=None).document()
    assert document["fold"] is None
    wanted = "kind key name architecture scenario fold learning_rate seed split upstream"
    assert set(wanted.split()) <= document.keys()
    assert document["semantics"] == specs.SEMANTICS["finetune"]


@pytest.mark.parametrize("place", ["recipe.epochs", "seed", "data.fingerprint", "initial.key", "key"])
def test_a_tampered_document_is_refused(place: str) -> None:
    document = make_stage().document()
    target = document
    *path, last = place.split(".")
    for name in path:
        target = target[name]
    target[last] = 99 if isinstance(target[last], int) else "9" * 64
    with pytest.raises(ValueError, match=r"resnet18-PCam-f0: key \w+ is not that of its content"):
        Stage.from_document(document)


def test_a_document_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        Stage.from_document(make_stage().document() | {"device": "cuda"})


def test_a_changed_copy_has_a_key_of_its_own() -> None:
    stage = make_stage()
    before = stage.key
    copy = stage.model_copy(update={"learning_rate": 0.008})
    assert copy.key == make_stage(learning_rate=0.008).key != before
    assert stage.key == stage.model_copy().key == stage.model_copy(deep=True).key == before
