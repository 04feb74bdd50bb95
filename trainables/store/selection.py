"""Choosing a learning rate: on val, within architecture, scenario, fold and seed, and nowhere else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Candidate:
    """A finished cell that may be chosen."""

    architecture: str
    scenario: str
    fold: int
    seed: int
    key: str
    learning_rate: float
    val_f1_macro: float


@dataclass(frozen=True)
class Selection:
    """The cell chosen for one architecture, scenario, fold and seed, with all it was chosen from."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]


def select(candidates: Iterable[Candidate]) -> list[Selection]:
    """Choose the highest ``val_f1_macro`` of each group; the lower rate on a tie.

    Returns:
        one choice a group, in the order in which the groups first appear.
    """
    groups: dict[tuple[str, str, int, int], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.architecture, candidate.scenario, candidate.fold, candidate.seed].append(candidate)
    return [Selection(min(group, key=_preference), tuple(group)) for group in groups.values()]


def selection_table(choices: Iterable[Selection]) -> pa.Table:
    """Return the content of ``selection.parquet``: one row a choice."""
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
