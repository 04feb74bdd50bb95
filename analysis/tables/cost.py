"""What the study cost: hours, images a second and memory, per architecture, kind of stage and device."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.results.plan_file import PlannedStage, explain
from trainables.store import layout
from trainables.store.study import StageFolder

UNKNOWN = "unknown device"


@dataclass(frozen=True)
class StageCost:
    """What one finished stage took.

    Attributes:
        hours: of all its devices: GPUs, or CPU cores.
        images_per_second: median over its epochs, of training; None where it has no history.
        peak_bytes: the most memory it held on its device, where the result says it.
    """

    stage: PlannedStage
    device: str
    hours: float | None
    images_per_second: float | None
    peak_bytes: int | None


def cost_table(collected: Collected) -> Table:
    """Return the cost of all finished stages of the plan, those of rates not chosen too."""
    faults: list[str] = []
    groups: dict[tuple[str, str, str], list[StageCost]] = defaultdict(list)
    for spent in _all_spent(collected, faults):
        groups[spent.stage.architecture, spent.stage.kind, spent.device].append(spent)
    lost = Counter(stage.kind for stage in collected.plan.stages if collected.progress.state(stage) == "failed")
    notes = [Footnote("", f"Failed stages took time too, which is not counted: {_counted(lost)}.")] if lost else []
    notes += [Footnote("", fault) for fault in faults]
    return Table(
        name="cost",
        title="Cost",
        columns=(
            *(Column("architecture", "Architecture"), Column("kind", "Kind"), Column("device", "Device")),
            Column("stages", "Stages", "count"),
            *(Column("hours", "Hours", "number"), Column("unit", "Unit")),
            Column("images_per_second", "Images/s", "number"),
            Column("peak_memory_gb", "Peak memory, GB", "number"),
        ),
        rows=tuple(Row(_values(key, spent)) for key, spent in groups.items()),
        caption="All finished stages of the plan, those whose rate was not chosen included. Hours are of devices: seconds "
        "of a stage × its workers (× its threads on a CPU) / 3600. Images/s: median over the stages of the median over "
        "their epochs, of training. Peak memory: the most of a stage, where its result says it.",
        footnotes=tuple(notes),
    )


def _all_spent(collected: Collected, faults: list[str]) -> Iterator[StageCost]:
    for stage in collected.plan.stages:
        folder = collected.progress.folder(stage.key)
        if folder is None or collected.progress.state(stage) != "done":
            continue
        result = folder.result()
        if result is None:
            continue
        try:
            speed = _speed(folder, result)
        except (ValueError, OSError) as error:
            speed = None
            faults.append(f"{stage.name}: images/s left out: {explain(error)}")
        yield _spent(stage, result, speed)


def _spent(stage: PlannedStage, result: Mapping[str, Any], speed: float | None) -> StageCost:
    environment = result.get("environment") or {}
    seconds, device = result.get("seconds"), str(environment.get("device") or UNKNOWN)
    width = int(environment.get("world_size") or 1)
    if is_cpu(device):
        width *= int(environment.get("threads") or 1)
    peak = environment.get("peak_memory_bytes") or (result.get("metrics") or {}).get("peak_memory_bytes")
    hours = seconds * width / 3600 if isinstance(seconds, int | float) else None
    return StageCost(stage, device, hours, speed, int(peak) if isinstance(peak, int | float) else None)


def is_cpu(device: str) -> bool:
    """Say whether a device of an environment is a processor: there cores count, not devices."""
    return device.lower().startswith("cpu")


def _speed(folder: StageFolder, result: dict[str, Any]) -> float | None:
    if layout.HISTORY not in result.get("digests", {}):
        return None
    history = pq.ParquetFile(io.BytesIO(folder.read_verified(layout.HISTORY, result)))
    if "images_per_second" not in history.schema_arrow.names:
        return None
    values = history.read(["images_per_second"])["images_per_second"].to_pylist()
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _values(key: tuple[str, str, str], spent: list[StageCost]) -> dict[str, Value]:
    architecture, kind, device = key
    hours = [one.hours for one in spent if one.hours is not None]
    speeds = [one.images_per_second for one in spent if one.images_per_second is not None]
    peaks = [one.peak_bytes for one in spent if one.peak_bytes is not None]
    unit = "CPU core-hours" if is_cpu(device) else "hours" if device == UNKNOWN else "GPU-hours"
    return {
        "architecture": architecture,
        "kind": kind,
        "device": device,
        "stages": len(spent),
        "hours": sum(hours) if hours else None,
        "unit": unit,
        "images_per_second": median(speeds) if speeds else None,
        "peak_memory_gb": max(peaks) / 1e9 if peaks else None,
    }


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
