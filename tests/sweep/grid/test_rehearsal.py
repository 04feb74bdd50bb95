"""Tests of rehearsals: every stage of the real grid, little work, keys of their own, stand-ins that are marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.grid.loader import load_grid
from sweep.plan.inputs import Inputs, gather
from sweep.plan.plan import Plan, make_plan


def rehearsed(name: str, at_hand: Callable[..., Inputs], with_weights: bool = True) -> tuple[Plan, Plan]:
    """The real plan of a grid, and its rehearsal."""
    grid = load_grid(name)
    shadow = replace(grid, rehearsal=True)
    inputs = at_hand(shadow)
    if not with_weights:
        inputs.weights.clear()
    return make_plan(grid, at_hand(grid)), make_plan(shadow, inputs)


def test_a_rehearsal_walks_every_stage_of_the_grid(at_hand: Any) -> None:
    real, rehearsal = rehearsed("paper", at_hand)
    assert [(s.kind, s.name) for s in rehearsal.stages] == [(s.kind, s.name) for s in real.stages]
    assert not {s.key for s in rehearsal.stages} & {s.key for s in real.stages}
    for shadow, stage in zip(rehearsal.stages, real.stages, strict=True):
        assert shadow.model == stage.model
        assert shadow.recipe.image_size == stage.recipe.image_size
        assert (shadow.recipe.epochs, shadow.recipe.batch_size, shadow.recipe.threads) == (1, 4, 1)


def test_weights_that_are_not_at_hand_are_random_stand_ins_and_marked(at_hand: Any) -> None:
    real, rehearsal = rehearsed("paper", at_hand, with_weights=False)
    sources = [(s.initial.source, r.initial.source) for s, r in zip(rehearsal.stages, real.stages, strict=True)]
    assert {pair for pair in sources if pair[0] != pair[1]} == {("stand_in", "file")}
    assert all(stage.key for stage in rehearsal.stages)


def test_a_handful_of_images_of_each_class_is_used(tmp_path: Path) -> None:
    shadow = replace(load_grid("smoke"), rehearsal=True)
    inputs = gather(shadow, tmp_path, None, tmp_path)
    counts = {name: len(data.labels) // len(data.classes) for name, data in inputs.data.items()}
    assert counts == {"blood_cells": 6, "tissue_patches": 6, "scenes": 6}
    assert not inputs.missing
