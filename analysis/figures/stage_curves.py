"""What drawings of training need of the stage folders: histories and curves, verified before they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from analysis.results.plan_file import explain
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.study import StageFolder

SPLITS = ("train", "val")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class History:
    """How a stage went, epoch by epoch.

    Attributes:
        label: of its curve, e.g. ``fold 0``.
        stage: its folder.
        epochs: of ``train`` and ``val``, counted from 0, like the values in ``loss`` and ``f1``.
        chosen: the epoch whose weights count.
    """

    label: str
    stage: str
    chosen: int | None
    epochs: Mapping[str, Sequence[float]]
    loss: Mapping[str, Sequence[float]]
    f1: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class RangeTestCurve:
    """A learning-rate range test, and the rate chosen from it.

    Attributes:
        places: rule -> index of the point it points at.
        place: index of the chosen point; None where the fallback is used.
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
    """Why something cannot be drawn: reason -> stages. Filled while reading."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def try_to(self, read: Callable[[], _Read], what: str, stage: str) -> _Read | None:
        """Return what is read, or None with the fault noted."""
        try:
            return read()
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = explain(error) if isinstance(error, ValueError | OSError) else f"{what} is not as expected"
            # A path says no more than the stage's name, and would make each reason one of its own.
            self.found.setdefault(reason.split(f"{stage}/")[-1], []).append(stage)
            return None

    def sentences(self) -> tuple[str, ...]:
        """Say what is not drawn and why; of many stages the first is named."""
        return tuple(
            f"Not drawn: {stages[0]}{f' and {len(stages) - 1} more' if len(stages) > 1 else ''}: {reason}."
            for reason, stages in self.found.items()
        )


def history(folder: StageFolder, digests: Mapping[str, str], chosen: Any, label: str) -> History:
    """Read the history of a finished stage.

    Raises:
        ValueError, KeyError, TypeError, OSError: if it is missing, not what the stage wrote, or not as expected.
    """
    table = read_parquet(folder.read_verified(layout.HISTORY, {"digests": digests}))
    rows = {name: [row for row in _rows(table, layout.HISTORY) if row["split"] == name] for name in SPLITS}

    def column(name: str) -> dict[str, list[float]]:
        return {part: [_float(row[name]) for row in of_part] for part, of_part in rows.items()}

    return History(
        label,
        folder.name,
        None if chosen is None else int(chosen),
        epochs=column("epoch"),
        loss=column("loss"),
        f1=column("f1_macro"),
    )


def range_test(folder: StageFolder) -> RangeTestCurve:
    """Read a finished range test.

    Raises:
        ValueError, KeyError, TypeError, OSError: if it is missing, not what the stage wrote, or not as expected.
    """
    result = folder.result() or {}
    table = read_parquet(folder.read_verified(layout.CURVE, result))
    rows = _rows(table, layout.CURVE)
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
