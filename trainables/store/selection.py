"""Selection of the learning rate: on val, within architecture, scenario, fold and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Candidate:
    """A finished cell that may be chosen.

    Attributes:
        key: of its stage.
        learning_rate: as used.
        val_f1_macro: macro F1 on val, in [0, 1].
    """

    architecture: str
    scenario: str
    fold: int
    seed: int
    key: str
    learning_rate: float
    val_f1_macro: float


@dataclass(frozen=True)
class Selection:
    """The cell chosen for one architecture, scenario, fold and seed, and all its candidates."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]


def select(candidates: Iterable[Candidate]) -> list[Selection]:
    """Choose the candidate of the highest ``val_f1_macro`` in each group; the lower rate on a tie.

    Returns:
        one selection per architecture, scenario, fold and seed, in order of first appearance.
    """
    groups: dict[tuple[str, str, int, int], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.architecture, candidate.scenario, candidate.fold, candidate.seed].append(candidate)
    return [Selection(min(group, key=_preference), tuple(group)) for group in groups.values()]


def selection_table(choices: Iterable[Selection]) -> pa.Table:
    """Return the content of ``selection.parquet``: one row per selection."""
    rows = [
        {
            "architecture": choice.chosen.architecture,
            "scenario": choice.chosen.scenario,
            "fold": choice.chosen.fold,
            "seed": choice.chosen.seed,
            "chosen": choice.chosen.key,
            "learning_rate": choice.chosen.learning_rate,
            "candidates": [candidate.key for candidate in choice.candidates],
            "learning_rates": [candidate.learning_rate for candidate in choice.candidates],
            "val_f1_macro": [candidate.val_f1_macro for candidate in choice.candidates],
        }
        for choice in choices
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema(
    [
        ("architecture", pa.string()),
        ("scenario", pa.string()),
        ("fold", pa.int64()),
        ("seed", pa.int64()),
        ("chosen", pa.string()),
        ("learning_rate", pa.float64()),
        ("candidates", pa.list_(pa.string())),
        ("learning_rates", pa.list_(pa.float64())),
        ("val_f1_macro", pa.list_(pa.float64())),
    ]
)


def _preference(candidate: Candidate) -> tuple[float, float, str]:
    return (-candidate.val_f1_macro, candidate.learning_rate, candidate.key)
