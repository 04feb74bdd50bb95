"""The page on adding entries: its example is registered and used, its table and groups are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

from tests.trainables.support.plugins import TOY
from trainables.registry import REGISTRIES, registry_of
from trainables.specs import Recipe
from trainables.training.optimizers.base import make_optimizer, optimizers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)
    assert len(found) == 1
    return str(found[0])


def test_the_example_is_an_entry_that_the_grid_beside_it_uses() -> None:
    try:
        exec(block("python"), {"__name__": "rmsprop"})  # noqa: S102 - the example of the page
        recipe = Recipe.model_validate(yaml.safe_load(block("yaml"))["recipe"])
        made = make_optimizer(torch.nn.Linear(2, 2), recipe, 0.1)
        assert isinstance(made, torch.optim.RMSprop)
        assert made.param_groups[0]["alpha"] == 0.9
        assert recipe.metrics[0].options == {"k": 3}
        assert recipe.augmentation.operations[0].options == {"sigma": 1.5}
    finally:
        optimizers._own.pop("rmsprop", None)


def test_every_kind_is_in_the_table_with_the_place_of_its_entries() -> None:
    rows = re.findall(r"^\| ([a-z -]+) \| `.*?\| `(trainables/[\w/.]+)`", PAGE, re.M)
    assert {kind.replace("early-", "") for kind, _ in rows} == REGISTRIES.keys()
    for _, place in rows:
        assert (ROOT / place).exists(), place


def test_the_toy_distribution_publishes_an_entry_of_each_group_of_the_page() -> None:
    groups = set(re.findall(r"`(?:scenario_sweep)?\.(\w+)`", PAGE))
    published = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]["entry-points"]
    named = {group.removeprefix("scenario_sweep.") for group in published}
    assert named == {registry_of(kind).group.removeprefix("scenario_sweep.") for kind in REGISTRIES}
    assert named <= groups


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_entry_says_what_it_is(kind: str) -> None:
    for name, entry in registry_of(kind).own().items():
        assert (entry.__doc__ or "").strip(), name
