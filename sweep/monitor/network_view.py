"""The networks of a plan as a table: their work, precision, normalisation and weights."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sweep.plan.inputs import Inputs
from sweep.plan.network_checks import weights_lines
from sweep.plan.plan import Plan
from trainables.models.complexity import gflops, shape_of
from trainables.normalisation import IMAGENET, Normalisation
from trainables.specs import Stage

MAX_NETWORKS = 40
"""Rows of the table; all are in ``--plan --json``."""


def network_tables(plan: Plan, inputs: Inputs) -> Iterator[RenderableType]:
    """Yield the networks, each with its settings that the project chose, and the files of weights.

    Args:
        plan: the plan.
        inputs: files of weights that are at hand.
    """
    table = Table(
        "network", "px", "GMAC an image", "depthwise", "precision", "normalised by", title="\nnetworks", title_justify="left", box=None
    )  # fmt: skip
    rows = list(dict.fromkeys(_row(stage) for stage in plan.stages))
    for row in rows[:MAX_NETWORKS]:
        table.add_row(*map(Text, row))
    yield table
    if len(rows) > MAX_NETWORKS:
        yield Text(f" and {len(rows) - MAX_NETWORKS} more")
    if inputs.weights:
        yield Text("\nweights", style="italic")
    yield from (Text(f" {line}") for line in weights_lines(plan.grid, inputs))


def _row(stage: Stage) -> tuple[str, ...]:
    shape, recipe = shape_of(stage.model), stage.recipe
    counted = shape is not None and shape.gflops is not None
    work = f"{gflops(stage.model, recipe.image_size):.3g}" if counted else "unknown: 1 assumed"
    depthwise = "unknown" if shape is None or shape.depthwise is None else f"{shape.depthwise:.0%}"
    return (
        stage.architecture,
        str(recipe.image_size),
        work,
        depthwise,
        recipe.precision,
        normalisation_text(recipe.normalisation),
    )


def normalisation_text(normalisation: Normalisation | None) -> str:
    """Return a normalisation in words: ImageNet's, or its numbers.

    Args:
        normalisation: None: that of the library's default weights, or what a class of the user's says.
    """
    if normalisation is None:
        return "the network's own"
    if normalisation == IMAGENET:
        return "ImageNet's mean and SD"
    mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (normalisation.mean, normalisation.std))
    return f"mean {mean}, SD {std}"
