"""What the page says besides figures: the question, and how it was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.results.collect import Collected
from analysis.stats.class_averages import rate_text

PER_STAGE = frozenset({"node", "hostname", "host", "seconds", "started", "finished", "process"})
"""Facts of an environment that may differ from stage to stage without a word."""


MEMORY = "peak_memory_bytes"
"""It never is the same twice."""


@dataclass(frozen=True)
class Fact:
    """A setting with the values found and the number of cells of each, most frequent first."""

    name: str
    values: tuple[tuple[str, int], ...]

    @property
    def mixed(self) -> bool:
        """Whether cells differ where they had better not."""
        return len(self.values) > 1 and self.name.rpartition(".")[2] not in PER_STAGE

    @property
    def text(self) -> str:
        """The value, or the values with their counts."""
        if len(self.values) == 1:
            return self.values[0][0]
        return ", ".join(f"{value} ({count} cells)" for value, count in self.values)


@dataclass(frozen=True)
class Question:
    """What was asked of which data.

    Attributes:
        classes: name and number of images of each class; None where the split is unusable.
    """

    classes: tuple[tuple[str, int | None], ...]
    images: int | None
    folds: tuple[int, ...]
    grouped: bool
    architectures: tuple[str, ...]
    scenarios: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[str, ...]


def question(collected: Collected) -> Question:
    """Return what was asked, from the plan and the split."""
    plan, split = collected.plan, collected.split
    counts: list[int | None] = [None] * len(plan.classes)
    if split.fault is None:
        counts = list(np.bincount(split.labels, minlength=len(plan.classes)).tolist())
    rates = {cell.learning_rate for cell in plan.cells if cell.learning_rate is not None}
    return Question(
        classes=tuple(zip(plan.classes, counts, strict=False)),
        images=None if split.fault is not None else len(split.labels),
        folds=tuple(sorted({cell.fold for cell in plan.cells if cell.fold is not None})),
        grouped=split.grouped,
        architectures=tuple(dict.fromkeys(row[0] for row in plan.rows)),
        scenarios=tuple(dict.fromkeys(row[1] for row in plan.rows)),
        seeds=tuple(sorted({cell.seed for cell in plan.cells})),
        rates=tuple(rate_text(rate) for rate in sorted(rates)),
    )


def environment(collected: Collected) -> tuple[Fact, ...]:
    """Return on what the verified cells ran. Memory is told with the cost."""
    environments = (cell.result.environment for cell in collected.cells)
    return _facts({name: value for name, value in one.items() if name != MEMORY} for one in environments)


def recipe(collected: Collected) -> tuple[Fact, ...]:
    """Return how the verified cells were trained."""
    return _facts(cell.stage.recipe.model_dump(mode="json") for cell in collected.cells)


def _facts(settings: Iterable[Mapping[str, Any]]) -> tuple[Fact, ...]:
    found: dict[str, Counter[str]] = {}
    for setting in settings:
        for name, value in _flat(setting):
            found.setdefault(name, Counter())[value] += 1
    return tuple(Fact(name, tuple(values.most_common())) for name, values in found.items())


def _flat(setting: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in setting.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", rate_text(value) if isinstance(value, float) else str(value)
