"""The file that keeps measured throughput between runs, in the cache beside the studies."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from sweep.cost.throughput import MeasuredThroughput
from trainables.specs import Stage

SPEEDS = "speeds.json"
"""Name of the file."""


def learn(
    speeds: MeasuredThroughput, stage: Stage, result: Mapping[str, Any], images_per_second: Sequence[float]
) -> None:
    """Add the throughput of a training stage that is done.

    Args:
        speeds: it is added to.
        stage: the stage.
        result: its ``result.json``.
        images_per_second: of each epoch, its validation included. The median counts: the first epoch warms up.
    """
    environment = result.get("environment", {})
    device, usable = environment.get("device"), [value for value in images_per_second if value > 0]
    if device and usable:
        speeds.add(stage, device, median(usable), int(environment.get("world_size") or 1))


def read_speeds(file: Path) -> MeasuredThroughput:
    """Read the file. One that is absent or damaged counts as empty: it holds estimates only."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rates = {str(name): float(rate) for name, rate in found.items()}
    except (OSError, AttributeError, TypeError, ValueError):
        return MeasuredThroughput()
    return MeasuredThroughput({name: rate for name, rate in rates.items() if math.isfinite(rate) and rate > 0})


def write_speeds(file: Path, speeds: MeasuredThroughput) -> None:
    """Write measured throughput, merged with what other runs have written; a disk that cannot be written to is no error.

    Args:
        file: to write.
        speeds: what this run knows.
    """
    table = read_speeds(file).table() | speeds.table()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(table, indent=1), encoding="utf-8")
        partial.replace(file)
