"""Reading a grid: by name or file, its schema, settings laid over it, and the four that come with the project."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.grid.grid import Grid
from sweep.grid.loader import embedded, load_grid
from sweep.plan.plan import Plan
from trainables.errors import UserError

Load = Callable[..., Grid]
COUNTS = {"paper": (16, 120, 200), "full_study": (16, 360, 600), "mini": (8, 60, 100), "smoke": (4, 36, 60)}

# Table 2 of the supplement, typed from it and not from the grids.
ARCHITECTURES = ("vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32")
PRETRAINING = {
    "PCam": (0.0034, 0.0075, 0.0040, 0.0100),
    "CD": (0.0150, 0.0300, 0.0142, 0.0110),
    "ImageNet+PCam": (0.0034, 0.0025, 0.0029, 0.0010),
    "ImageNet+CD": (0.0013, 0.0012, 0.0035, 0.0010),
}
FINE_TUNING = {
    "Random": (0.0043, 0.0130, 0.0040, 0.0140),
    "ImageNet": (0.0040, 0.0041, 0.0066, 0.0075),
    "PCam": (0.0043, 0.0043, 0.0200, 0.0120),
    "CD": (0.0090, 0.0100, 0.0075, 0.0075),
    "ImageNet+PCam": (0.0019, 0.0010, 0.0035, 0.0010),
    "ImageNet+CD": (0.0020, 0.0020, 0.0020, 0.0020),
}


def faults(load: Load, content: str | dict[str, Any], *settings: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        load(content, *settings)
    return caught.value.faults


def line_of(text: str, part: str) -> int:
    [number] = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return number


def test_the_embedded_grids_are_the_four_of_the_contract() -> None:
    assert embedded() == ["full_study", "mini", "paper", "smoke"]


@pytest.mark.parametrize("name", COUNTS)
def test_an_embedded_grid_has_its_stages(name: str, at_hand: Callable[..., Any]) -> None:
    from sweep.plan.plan import make_plan

    grid = load_grid(name)
    plan = make_plan(grid, at_hand(grid))
    pretrain, finetune, unshared = COUNTS[name]
    assert plan.counts() == {"pretrain": pretrain, "finetune": finetune}
    assert plan.unshared == unshared
    assert len({stage.key for stage in plan.stages}) == pretrain + finetune


@pytest.mark.parametrize(("name", "times"), [("paper", (1.0,)), ("full_study", (0.5, 1.0, 2.0))])
def test_the_rates_are_those_of_table_2(name: str, times: tuple[float, ...]) -> None:
    grid = load_grid(name)
    assert tuple(grid.models) == ARCHITECTURES
    assert set(grid.scenarios) == set(FINE_TUNING)
    for scenario, rates in FINE_TUNING.items():
        for architecture, rate in zip(ARCHITECTURES, rates, strict=True):
            assert grid.cell_rates(scenario, architecture) == pytest.approx([rate * t for t in times], rel=1e-12)
    for scenario, rates in PRETRAINING.items():
        for architecture, rate in zip(ARCHITECTURES, rates, strict=True):
            assert grid.pretrain_rate(scenario, architecture) == rate


def test_the_six_scenarios_of_the_study() -> None:
    for name in ("paper", "full_study", "mini"):
        scenarios = {label: (s.start, s.pretrain) for label, s in load_grid(name).scenarios.items()}
        assert scenarios == {
            "Random": ("random", ()),
            "ImageNet": ("imagenet", ()),
            "PCam": ("random", ("pcam",)),
            "CD": ("random", ("cats_vs_dogs",)),
            "ImageNet+PCam": ("imagenet", ("pcam",)),
            "ImageNet+CD": ("imagenet", ("cats_vs_dogs",)),
        }


def test_paper_and_full_study_differ_in_the_rates_alone() -> None:
    paper, full = (load_grid(name).file.model_dump() for name in ("paper", "full_study"))
    assert paper["axes"]["learning_rate"].pop("times") == (1.0,)
    assert full["axes"]["learning_rate"].pop("times") == (0.5, 1.0, 2.0)
    assert paper == full


@pytest.mark.parametrize("name", COUNTS)
def test_a_grid_as_resolved_is_the_same_grid(name: str, load: Load, planned: Callable[..., Plan]) -> None:
    resolved = load_grid(name).resolved()
    assert load(resolved).file == load_grid(name).file
    assert planned(resolved).stages == planned(load(resolved).resolved()).stages


def test_a_grid_that_is_neither_file_nor_name_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean smoke") as caught:
        load_grid("smoek")
    assert all(name in str(caught.value) for name in COUNTS)
    for unreadable in (tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(UserError):
            load_grid(str(unreadable))


def test_a_file_that_is_not_utf_8_is_not_said_to_be_absent(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_bytes("study: Zürich".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        load_grid(str(tmp_path / "g.yaml"))


def test_names_in_any_script_are_read(load: Load, grid_text: str) -> None:
    assert "Größe 细胞" in load(grid_text.replace("Tissue:", "Größe 细胞:")).scenarios


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("fold=[1]", lambda grid: grid.folds == (1,)),
        ("axes.fold=[1]", lambda grid: grid.folds == (1,)),
        ("learning_rate=[1e-3, 0.1]", lambda grid: grid.cell_rates("Random", "tiny") == (0.001, 0.1)),
        ("learning_rate=0.3", lambda grid: grid.cell_rates("Random", "tiny") == (0.3,)),
        ("scenario=[Tissue]", lambda grid: list(grid.scenarios) == ["Tissue"]),
        ("seed=[3, 4]", lambda grid: grid.file.axes.seed == (3, 4)),
        ("split.folds=3", lambda grid: grid.folds == (0, 1, 2)),
        ("scenarios.Tissue.pretrain=[tissue]", lambda grid: grid.scenarios["Tissue"].pretrain == ("tissue",)),
        ("recipe.augmentation.flip=false", lambda grid: grid.file.recipe.get("augmentation") == {"flip": False}),
        ("study=a=b", lambda grid: grid.file.study == "a=b"),
    ],
)
def test_a_setting_is_laid_over_the_file(
    load: Load, grid_text: str, setting: str, expected: Callable[[Grid], bool]
) -> None:
    assert not expected(load(grid_text)) or setting.startswith("scenarios")
    assert expected(load(grid_text, setting))


def test_of_two_settings_the_later_wins(load: Load, grid_text: str) -> None:
    assert load(grid_text, "fold=[0]", "fold=[1]").folds == (1,)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("finetune.epochs", "give section.key=value"),
        ("recipe.epochs={", "the value cannot be read as YAML"),
        ("recipe.epoch=3", "did you mean epochs"),
        ("nosuch.key=3", "unknown key nosuch"),
        ("target.key=3", "target is not a section"),
        ("axes.fold=[a]", "axes.fold.0"),
    ],
)
def test_a_bad_setting_is_shown_as_it_was_given(load: Load, grid_text: str, setting: str, said: str) -> None:
    shown = faults(load, grid_text, setting)
    assert any(said in fault for fault in shown)
    assert all(f"--set {setting.partition('=')[0].partition('.')[0]}" in fault for fault in shown)


SCHEMA = [
    ("target: cells", "taget: cells", "unknown key taget; did you mean target"),
    ("split: {folds: 2", "split: {folds: 1", "split.folds: input should be greater than or equal to 2, found 1"),
    ("val_fraction: 0.3", "val_fraction: 1.5", "split.val_fraction"),
    ("val_fraction: 0.3", "val_fracton: 0.3", "unknown key split.val_fracton; did you mean val_fraction"),
    ("  tissue: {reader: generated", "  tissue: {reader: genrated", "unknown reader genrated, there are"),
    ("  tissue: {reader: generated", "  tissue: {raeder: generated", "reader"),
    ("  tissue: {reader: generated,", "  tissue: {reader: generated, sise: 32,", "unknown key data.tissue.sise; did you mean size"),
    ("  tiny: {model: ", "  tiny: {modle: ", "unknown key architectures.tiny.modle; did you mean model"),
    ("  Tissue: {pretrain: tissue}", "  Tissue: {pretain: tissue}", "did you mean pretrain"),
    ("  learning_rate: [0.02, 0.05]", "  learning_rate: fast", "axes.learning_rate: input should be a valid number"),
    ("recipe: {image_size: 32, batch_size: 8}", "recipe: 3", "recipe: input should be a valid dictionary"),
    ("recipe: {image_size: 32, batch_size: 8}", "recipe:", "recipe: input should be a valid dictionary"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), SCHEMA, ids=[case[1] for case in SCHEMA])
def test_a_fault_of_the_schema_is_placed_and_the_right_name_given(
    load: Load, grid_text: str, old: str, new: str, said: str
) -> None:
    text = grid_text.replace(old, new)
    assert text != grid_text
    shown = [fault for fault in faults(load, text) if said in fault]
    assert len(shown) == 1
    assert f"grid.yaml:{line_of(text, new)}: " in shown[0]


def test_what_is_missing_is_named(load: Load) -> None:
    shown = " ".join(faults(load, "recipe: {epochs: 3}\n"))
    assert all(f"{name}: field required" in shown for name in ("target", "data", "scenarios", "axes"))
    assert "axes.learning_rate: field required" in " ".join(
        faults(load, {"target": "x", "data": {}, "scenarios": {}, "axes": {"architecture": []}})
    )


def test_faults_of_every_sort_are_shown_at_once(load: Load, grid_text: str) -> None:
    text = (
        grid_text.replace("folds: 2", "folds: 1")
        .replace("architecture: [tiny]", "architecture: [tinny]")
        .replace("  learning_rate: [0.02, 0.05]", "  learning_rate: [0.02, 0.05]\n  seed: []")
        .replace("finetune: {epochs: 3}", "finetune: {epochs: 0}\nextra: 1")
        .replace("batch_size", "batchsize")
        .replace("{pretrain: tissue}", "{pretrain: tisue}")
    )
    shown = faults(load, text)
    assert len(shown) == len(set(shown)) == 7
    for said, part in {
        "split.folds": "folds: 1",
        "unknown architecture tinny": "[tinny]",
        "the axis seed is empty": "seed: []",
        "finetune.epochs": "epochs: 0",
        "unknown key extra": "extra: 1",
        "unknown key recipe.batchsize; did you mean batch_size": "batchsize",
        "no data set tisue under data; did you mean tissue": "tisue}",
    }.items():
        [fault] = [fault for fault in shown if said in fault]
        assert f"grid.yaml:{line_of(text, part)}: " in fault


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"cells": {"reader": "nosuch"}, "tissue": {"reader": "generated", "generator": "scenes"}}},
        {"scenarios": {"Random": 3, "Tissue": {"pretrain": "tissue"}}},
        {"architectures": {"tiny": {"modle": "x"}}},
        {"weights": {"imagenet": 3}},
        {"axes": {"architecture": ["tiny"], "learning_rate": {"table": {"Random": {"tiny": "x"}}, "time": 1}}},
        {"defaults": [{"match": 3, "set": 4}]},
    ],
)
def test_a_fault_draws_no_false_ones_after_it(load: Load, document: dict[str, Any], change: dict[str, Any]) -> None:
    document["axes"]["scenario"] = ["Random", "Tissue"]
    document["scenarios"]["Start"] = {"start": "imagenet"}
    document["weights"] = {"imagenet": {"tiny": {"file": "x"}}}
    shown = faults(load, {**document, **change})
    [section] = change
    assert all(section in fault for fault in shown), shown


def test_a_long_value_is_cut_in_the_message(load: Load, document: dict[str, Any]) -> None:
    document["target"] = {"x" * 500: "y" * 500}
    [fault] = [fault for fault in faults(load, document) if "target" in fault]
    assert len(fault) < 250


def test_yaml_says_numbers_as_people_do(load: Load, document: dict[str, Any]) -> None:
    text = yaml.safe_dump(document).replace("- 0.02", "- 2e-2")
    assert load(text).cell_rates("Random", "tiny") == (0.02, 0.05)


ODD = ["", "~", "-1", "1e-2", "yes", "2024-13-45", ".nan", "[]", "{}", "[1, [2]]", "{1: 2}", "{a: {b: c}}", "all", "*x",
       "&x 3", "!!bool q", "!!set {a}", "<<", "nosuch", "[a, a]", "{range_test: {fallback: 0.1, stepps: 3}}", "'", "\t"]  # fmt: skip


def mutated(text: str, rng: random.Random) -> str:
    """Drop, repeat or indent a line, put an odd value in a place, or swap two letters of a word."""
    lines = text.splitlines()
    i = rng.randrange(len(lines))
    how = rng.randrange(5)
    if how == 0:
        lines[i] = ""
    elif how == 1:
        lines.insert(i, lines[i])
    elif how == 2:
        lines[i] = f"  {lines[i]}"
    elif how == 3:
        word = rng.choice(re.findall(r"[a-z_]{4,}", text))
        return text.replace(word, f"{word[1]}{word[0]}{word[2:]}", 1)
    else:
        place = rng.choice([found.span() for found in re.finditer(r"(?<=[:\[,] )[\w.]+|(?<=: )[\[{].*[\]}]", text)])
        return text[: place[0]] + rng.choice(ODD) + text[place[1] :]
    return "\n".join(lines) + "\n"


def test_of_mutated_grids_every_fault_is_told_with_its_place(load: Load, grid_text: str) -> None:
    rng = random.Random(14)
    refused = 0
    for _ in range(400):
        text = grid_text
        for _ in range(rng.randint(1, 3)):
            text = mutated(text, rng)
        try:
            load(text)
        except UserError as error:
            refused += 1
            assert len(error.faults) == len(set(error.faults)) > 0
            assert all(
                re.search(r"grid\.yaml(:\d+: | cannot )\S", fault) and "\n" not in fault for fault in error.faults
            )
    assert 250 < refused < 400
