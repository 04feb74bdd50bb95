"""Cost: device hours, throughput and memory per architecture, kind of stage and device."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from analysis.formats.table import Column, Footnote, Row, Table
from analysis.registry.report_entry import report_entry
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage, one_line
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from analysis.tables.study_rows import RowValues
from trainables.store import layout
from trainables.store.arrow import read_parquet
from trainables.store.study import StageFolder

UNKNOWN = "unknown device"


@dataclass(frozen=True)
class StageCost:
    """The cost of one finished stage.

    Attributes:
        stage: in the plan.
        device: name of the GPU, or ``cpu…``.
        hours: GPU-hours or CPU core-hours; None where the result has no duration.
        images_per_second: median over the epochs of training; None without a history.
        peak_bytes: peak memory of the device; None where the result does not have it.
    """

    stage: PlannedStage
    device: str
    hours: float | None
    images_per_second: float | None
    peak_bytes: int | None


@TABLES.register("cost")
@report_entry("cost", place=10)
def cost_table(data: ReportData) -> Table:
    """Return the cost of all finished stages of the plan, including candidates that were not chosen."""
    collected, faults = data.collected, list[str]()
    groups: dict[tuple[str, str, str], list[StageCost]] = defaultdict(list)
    for cost in _stage_costs(collected, faults):
        groups[cost.stage.architecture, cost.stage.kind, cost.device].append(cost)
    failed = Counter(stage.kind for stage in collected.plan.stages if collected.progress.state(stage) == "failed")
    counted = ", ".join(f"{count} {kind}" for kind, count in failed.items())
    notes = [f"Failed stages took time too, which is not counted: {counted}."] if failed else []
    return Table(
        title="Cost",
        columns=(
            *(Column("architecture", "Architecture"), Column("kind", "Kind"), Column("device", "Device")),
            Column("stages", "Stages", "count"),
            *(Column("hours", "Hours", "number"), Column("unit", "Unit")),
            Column("images_per_second", "Images/s", "number"),
            Column("peak_memory_gb", "Peak memory, GB", "number"),
        ),
        rows=tuple(Row(_values(*group, costs)) for group, costs in groups.items()),
        caption="All finished stages of the plan, those whose rate was not chosen included. Hours are of devices: seconds "
        "of a stage × its workers (× its threads on a CPU) / 3600. Images/s: median over the stages of the median over "
        "their epochs, of training. Peak memory: the most of a stage, where its result says it.",
        footnotes=tuple(Footnote("", note) for note in (*notes, *faults)),
    )


MOST = 1e15
"""Largest number of seconds, workers or bytes that a result may claim."""


def is_cpu(device: str) -> bool:
    """Return whether a device of an environment is a CPU, whose cost is counted in core-hours."""
    return device.lower().startswith("cpu")


def _stage_costs(collected: Collected, faults: list[str]) -> Iterator[StageCost]:
    for stage, folder in collected.finished():
        result = folder.result()
        if result is None:
            continue
        try:
            speed = _throughput(folder, result)
        except (ValueError, OSError) as error:
            speed = None
            faults.append(f"{stage.name}: images/s left out: {one_line(error)}")
        try:
            yield _stage_cost(stage, result, speed)
        except ValueError as error:
            faults.append(f"{stage.name}: left out: {one_line(error)}")


def _stage_cost(stage: PlannedStage, result: Mapping[str, Any], speed: float | None) -> StageCost:
    environment, metrics = (_section(result, name) for name in ("environment", "metrics"))
    seconds, device = _number(result, "seconds"), str(environment.get("device") or UNKNOWN)
    units = _number(environment, "world_size") or 1
    if is_cpu(device):
        units *= _number(environment, "threads") or 1
    peak = _number(environment, "peak_memory_bytes") or _number(metrics, "peak_memory_bytes")
    hours = seconds * units / 3600 if seconds is not None else None
    return StageCost(stage, device, hours, speed, int(peak) if peak is not None else None)


def _section(result: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = result.get(name) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} of {layout.RESULT} is no object")
    return found


def _number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number of a result; None if it has none of that name.

    Raises:
        ValueError: if it is no number that can be: a result may be somebody else's.
    """
    found = values.get(name)
    if found is None:
        return None
    if not isinstance(found, int | float) or not 0 <= found <= MOST:
        raise ValueError(f"{name} of {layout.RESULT} is {str(found)[:40]!r}")
    return found


def _throughput(folder: StageFolder, result: dict[str, Any]) -> float | None:
    """Return the median images per second of the training epochs; None without a history that has it."""
    if layout.HISTORY not in result.get("digests", {}):
        return None
    history = read_parquet(folder.read_verified(layout.HISTORY, result))
    if "images_per_second" not in history.column_names:
        return None
    values = history["images_per_second"].to_pylist()
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _values(architecture: str, kind: str, device: str, costs: Sequence[StageCost]) -> RowValues:
    hours = [one.hours for one in costs if one.hours is not None]
    speeds = [one.images_per_second for one in costs if one.images_per_second is not None]
    peaks = [one.peak_bytes for one in costs if one.peak_bytes is not None]
    unit = "CPU core-hours" if is_cpu(device) else "hours" if device == UNKNOWN else "GPU-hours"
    return {
        "architecture": architecture,
        "kind": kind,
        "device": device,
        "stages": len(costs),
        "hours": sum(hours) if hours else None,
        "unit": unit,
        "images_per_second": median(speeds) if speeds else None,
        "peak_memory_gb": max(peaks) / 1e9 if peaks else None,
    }
