"""The design of a study, and the settings and environments of its verified cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.formats.number_format import rate_text
from analysis.results.collect import Collected

PER_STAGE = frozenset({"node", "hostname", "host", "seconds", "started", "finished", "process"})
"""Environment entries that are expected to differ between stages."""
MEMORY = "peak_memory_bytes"
"""Differs in every stage; the table of costs has it."""


@dataclass(frozen=True)
class Setting:
    """A setting with its values over the cells.

    Attributes:
        name: with dots for nested settings.
        values: value and number of cells, most frequent first.
    """

    name: str
    values: tuple[tuple[str, int], ...]

    @property
    def mixed(self) -> bool:
        """Whether cells differ although they should not."""
        return len(self.values) > 1 and self.name.rpartition(".")[2] not in PER_STAGE

    @property
    def text(self) -> str:
        """The value, or the values with their counts."""
        if len(self.values) == 1:
            return self.values[0][0]
        return ", ".join(f"{value} ({count} cells)" for value, count in self.values)


@dataclass(frozen=True)
class StudyDesign:
    """What was planned on which data.

    Attributes:
        classes: name and number of images of each class; None where the split is unusable.
        images: number of images; None where the split is unusable.
        folds: fold numbers.
        grouped: whether folds respect groups.
        architectures: labels; likewise ``scenarios``.
        seeds: of the cells.
        rates: learning rates of the cells that do not take theirs from a range test.
    """

    classes: tuple[tuple[str, int | None], ...]
    images: int | None
    folds: tuple[int, ...]
    grouped: bool
    architectures: tuple[str, ...]
    scenarios: tuple[str, ...]
    seeds: tuple[int, ...]
    rates: tuple[str, ...]


def design(collected: Collected) -> StudyDesign:
    """Return the design of a study, from its plan and split."""
    plan, split = collected.plan, collected.split
    counts: list[int | None] = [None] * len(plan.classes)
    if split.fault is None:
        counts = list(np.bincount(split.labels, minlength=len(plan.classes)).tolist())
    rates = {cell.learning_rate for cell in plan.cells if cell.learning_rate is not None}
    return StudyDesign(
        classes=tuple(zip(plan.classes, counts, strict=False)),
        images=None if split.fault is not None else len(split.labels),
        folds=tuple(sorted({cell.fold for cell in plan.cells if cell.fold is not None})),
        grouped=split.grouped,
        architectures=tuple(dict.fromkeys(row[0] for row in plan.rows)),
        scenarios=tuple(dict.fromkeys(row[1] for row in plan.rows)),
        seeds=tuple(sorted({cell.seed for cell in plan.cells})),
        rates=tuple(rate_text(rate) for rate in sorted(rates)),
    )


def environment(collected: Collected) -> tuple[Setting, ...]:
    """Return versions, devices and precision of the verified cells."""
    environments = (cell.result.environment for cell in collected.cells)
    return _settings({name: value for name, value in one.items() if name != MEMORY} for one in environments)


def recipe(collected: Collected) -> tuple[Setting, ...]:
    """Return the training recipe of the verified cells."""
    return _settings(cell.stage.recipe.model_dump(mode="json") for cell in collected.cells)


def _settings(documents: Iterable[Mapping[str, Any]]) -> tuple[Setting, ...]:
    found: dict[str, Counter[str]] = {}
    for document in documents:
        for name, value in _flat(document):
            found.setdefault(name, Counter())[value] += 1
    return tuple(Setting(name, tuple(values.most_common())) for name, values in found.items())


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", rate_text(value) if isinstance(value, float) else str(value)
