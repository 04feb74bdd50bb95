"""Every example of docs/grids.md is a grid that loads and comes to a plan."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.plan.plan import Plan
from trainables.errors import UserError

TEXT = (Path(__file__).parents[3] / "docs" / "grids.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.S | re.M)
COUNTS = [
    {"finetune": 5},
    {"pretrain": 2, "finetune": 3 * 4 * 3},
    {"pretrain": 3 * 3, "finetune": 3 * 5 * 5},
    {"finetune": 3 * 5},
    {"pretrain": 2, "finetune": 2 * 2 * 5 * 3},
    {"lr_range": 2 + 3 * 5, "pretrain": 2, "finetune": 2 * 2 * 5 * 3},
    {"pretrain": 2 * 2 * 2, "finetune": (1 + 2) * 4 * 5},
    {"pretrain": 3, "finetune": (2 + 1 + 2) * 5 * 2 - 2 * 5},
]


def test_the_page_has_the_examples_that_are_counted() -> None:
    assert len(BLOCKS) == len(COUNTS)


@pytest.mark.parametrize(("block", "counts"), list(zip(BLOCKS, COUNTS, strict=True)), ids=range(len(COUNTS)))
def test_an_example_comes_to_its_stages(block: str, counts: dict[str, int], planned: Callable[..., Plan]) -> None:
    plan = planned(block)
    assert plan.counts() == counts
    assert (
        len({stage.key for stage in plan.stages}) == len({stage.name for stage in plan.stages}) == sum(counts.values())
    )


def test_the_files_it_names_are_there() -> None:
    named = re.findall(r"`((?:sweep|trainables)/[\w./]+)`", TEXT)
    assert len(named) >= 3
    assert all((Path(__file__).parents[3] / path).exists() for path in named)


def test_what_it_says_of_the_target_is_so(load: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="a study has one target"):
        load(BLOCKS[6], "axes.data.cells.size=[64, 96]")
