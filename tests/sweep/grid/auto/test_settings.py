"""``normalisation: auto``: that of the weights a network starts from, in the recipe and so in the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweep.grid.grid import Grid
from trainables.normalisation import IMAGENET, Normalisation

Load = Callable[..., Grid]
HALF = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
OTHER = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
GRID = """
target: cells
data: {cells: {reader: image_folder, path: cells}}
weights:
  ap: {timm/tf_efficientnet_b0: {version: ap_in1k}, own: {file: o.pth, normalisation: {mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}}}
  aa: {timm/tf_efficientnet_b0: {version: aa_in1k}, own: {file: o.pth}}
architectures: {own: {model: "my.nets:Net"}}
scenarios: {Random: {}, AP: {start: ap}, AA: {start: aa}}
axes: {architecture: [timm/tf_efficientnet_b0, own], learning_rate: 0.01}
"""


def of(grid: Grid, scenario: str, architecture: str = "timm/tf_efficientnet_b0") -> Normalisation | None:
    labels: dict[str, Any] = {"kind": "finetune", "architecture": architecture, "scenario": scenario}
    return grid.recipe(labels).normalisation


def test_it_is_that_of_the_published_version(load: Load) -> None:
    grid = load(GRID)
    assert of(grid, "AP") == HALF
    assert of(grid, "AA") == of(grid, "Random") == IMAGENET


def test_for_a_file_it_can_be_given(load: Load) -> None:
    grid = load(GRID)
    assert of(grid, "AP", "own") == Normalisation.model_validate(OTHER)
    assert of(grid, "AA", "own") is of(grid, "Random", "own") is None, "what the class says of itself"


def test_the_first_edition_has_that_of_the_library_whatever_the_version(load: Load) -> None:
    grid = load(GRID, "edition=1")
    assert of(grid, "AP") is of(grid, "AA") is of(grid, "Random") is None
    assert of(grid, "AP", "own") == Normalisation.model_validate(OTHER), "given by hand"


def test_what_the_grid_says_counts_but_for_weights_that_say_it_themselves(load: Load) -> None:
    grid = load(GRID, "recipe.normalisation={mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}")
    assert of(grid, "AA") == of(grid, "Random") == of(grid, "Random", "own") == HALF
    assert of(grid, "AP", "own") == Normalisation.model_validate(OTHER)
