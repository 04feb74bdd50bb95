"""Measured speeds, kept between runs: learnt from committed results, in a small file of the user's cache."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from sweep.cost.estimator import MeasuredThroughput
from trainables.specs import Stage

SPEEDS = "speeds.json"
"""Name of the file, in the cache beside the studies."""


def learn(
    speeds: MeasuredThroughput, stage: Stage, result: Mapping[str, Any], images_per_second: Sequence[float]
) -> None:
    """Take in a committed training stage.

    Args:
        speeds: what is known so far; it is added to.
        stage: what was done.
        result: its ``result.json``.
        images_per_second: of its epochs, from its history. The median counts: the first epoch warms up.
            Those of whole epochs, with their look at val, tell how long a stage takes.
    """
    environment = result.get("environment", {})
    device, usable = environment.get("device"), [value for value in images_per_second if value > 0]
    if device and usable:
        speeds.measured(stage, device, median(usable), int(environment.get("world_size") or 1))


def read_speeds(file: Path) -> MeasuredThroughput:
    """Read what was kept; a file that is absent or torn is as good as an empty one: it is an estimate only."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rates = {str(name): float(rate) for name, rate in found.items()}
    except (OSError, AttributeError, TypeError, ValueError):
        return MeasuredThroughput()
    return MeasuredThroughput({name: rate for name, rate in rates.items() if math.isfinite(rate) and rate > 0})


def write_speeds(file: Path, speeds: MeasuredThroughput) -> None:
    """Keep what was measured, beside what others have kept meanwhile. Where there is no room for it, nothing is kept."""
    table = read_speeds(file).table() | speeds.table()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(table, indent=1), encoding="utf-8")
        partial.replace(file)
