"""Histories and range-test curves of finished stages, verified before they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from analysis.results.plan_file import one_line
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.study import StageFolder

SPLITS = ("train", "val")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class History:
    """Loss and macro F1 of a stage by epoch.

    Attributes:
        label: of its curve, e.g. ``fold 0``.
        stage: name of its folder.
        chosen: the epoch whose weights were kept; None where the result does not have it.
        epochs: epoch numbers of ``train`` and of ``val``, counted from 0.
        loss: the loss of each of these epochs.
        f1: the macro F1 of each of these epochs.
    """

    label: str
    stage: str
    chosen: int | None
    epochs: Mapping[str, Sequence[float]]
    loss: Mapping[str, Sequence[float]]
    f1: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class RangeTestCurve:
    """A learning-rate range test with the rate suggested from it.

    Attributes:
        stage: name of its folder.
        rates: learning rate of each step, ascending.
        loss: loss of each step.
        smoothed: the same, smoothed.
        learning_rate: the suggested rate.
        rule: name of the rule it follows.
        reason: why, in words.
        place: index of the chosen step; None where the fallback rate is used.
        places: name of each rule -> index of the step it suggests.
    """

    stage: str
    rates: Sequence[float]
    loss: Sequence[float]
    smoothed: Sequence[float]
    learning_rate: float
    rule: str
    reason: str
    place: int | None
    places: Mapping[str, int]


@dataclass
class UndrawableReasons:
    """Collects why stages cannot be drawn, while they are read.

    Attributes:
        found: reason -> names of the stages.
    """

    found: dict[str, list[str]] = field(default_factory=dict)

    def try_to(self, read: Callable[[], _Read], name: str, stage: str) -> _Read | None:
        """Read a file, or note why it cannot be read.

        Args:
            read: reads it.
            name: what it is, for the reason.
            stage: name of the stage's folder.

        Returns:
            what was read, or None.
        """
        try:
            return read()
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = one_line(error) if isinstance(error, ValueError | OSError) else f"{name} is not as expected"
            # Without the path, stages with the same fault share a reason.
            self.found.setdefault(reason.split(f"{stage}/")[-1], []).append(stage)
            return None

    def sentences(self) -> tuple[str, ...]:
        """Return a sentence per reason; of several stages the first is named."""
        return tuple(
            f"Not drawn: {stages[0]}{f' and {len(stages) - 1} more' if len(stages) > 1 else ''}: {reason}."
            for reason, stages in self.found.items()
        )


def read_history(folder: StageFolder, result: Mapping[str, Any], label: str) -> History:
    """Read the history of a finished stage.

    Args:
        folder: of the stage.
        result: its result, with ``digests`` and ``selected_epoch``.
        label: of its curve.

    Raises:
        ValueError, KeyError, TypeError, OSError: if it is missing, changed since it was written, or malformed.
    """
    table = read_parquet(folder.read_verified(layout.HISTORY, dict(result)))
    rows = {name: [row for row in _rows(table, layout.HISTORY) if row["split"] == name] for name in SPLITS}

    def column(name: str) -> dict[str, list[float]]:
        return {part: [_float(row[name]) for row in of_part] for part, of_part in rows.items()}

    chosen = result.get("selected_epoch")
    return History(
        label,
        folder.name,
        None if chosen is None else int(chosen),
        epochs=column("epoch"),
        loss=column("loss"),
        f1=column("f1_macro"),
    )


def read_range_test(folder: StageFolder) -> RangeTestCurve:
    """Read a finished range test.

    Raises:
        ValueError, KeyError, TypeError, OSError: if it is missing, changed since it was written, or malformed.
    """
    result = folder.result() or {}
    rows = _rows(read_parquet(folder.read_verified(layout.CURVE, result)), layout.CURVE)
    choice = dict(result["choice"])
    place = choice.get("place")
    return RangeTestCurve(
        folder.name,
        rates=[_float(row["learning_rate"]) for row in rows],
        loss=[_float(row["loss"]) for row in rows],
        smoothed=[_float(row["smoothed_loss"]) for row in rows],
        learning_rate=float(result["learning_rate"]),
        rule=str(choice["rule"]),
        reason=str(choice["reason"]),
        place=None if place is None else _index(place, len(rows)),
        places={str(rule): _index(at, len(rows)) for rule, at in dict(choice.get("places") or {}).items()},
    )


def _rows(table: pa.Table, file: str) -> list[dict[str, Any]]:
    if not len(table):
        raise ValueError(f"{file} has no rows")
    return list(table.to_pylist())


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _index(place: Any, rows: int) -> int:
    if not 0 <= int(place) < rows:
        raise ValueError(f"{layout.CURVE}: the chosen point {place} is not among its {rows}")
    return int(place)
