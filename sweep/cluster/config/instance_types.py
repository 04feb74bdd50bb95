"""Resources and prices of AWS instance types, from a small table in ``instances.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sweep.cluster.config.cluster_file import ClusterFile

TABLE = Path(__file__).with_name("instances.yaml")


@dataclass(frozen=True)
class Instance:
    """An instance type.

    Attributes:
        cpus: vCPUs.
        gpus: number of GPUs.
        dollars: list price per hour, on demand.
    """

    cpus: int
    gpus: int
    dollars: float


@dataclass(frozen=True)
class HourlyPrice:
    """Price of a cluster for one hour.

    Attributes:
        least: dollars with as few workers as the file allows.
        most: dollars with as many workers as the file allows.
        as_of: date of the list prices.
        unknown: instance types that are not in the table.
    """

    least: float
    most: float
    as_of: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        """Return the price as a sentence."""
        without = f", without {', '.join(self.unknown)}, which are not in the table" if self.unknown else ""
        return f"an hour costs {self.least:.2f} $ at least and {self.most:.2f} $ at most (on-demand list prices of {self.as_of}; spot instances cost less){without}"


@cache
def _table() -> dict[str, Any]:
    return dict(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def instance(name: str) -> Instance | None:
    """Return an instance type by name (``g5.xlarge``), or None if it is not in the table."""
    row = _table()["machines"].get(name)
    return None if row is None else Instance(*row)


def hourly_price(file: ClusterFile) -> HourlyPrice:
    """Return the price for one hour of the cluster that a file describes."""
    least = most = 0.0
    unknown: list[str] = []
    max_workers = int(file.value.get("max_workers", 0))
    for name, kind in file.node_types:
        machine = str((kind.get("node_config") or {}).get("InstanceType", "?"))
        known = instance(machine)
        if known is None:
            unknown.append(machine)
            continue
        few, many = (1, 1) if name == file.head_type else _bounds(kind, max_workers)
        least, most = least + few * known.dollars, most + many * known.dollars
    return HourlyPrice(least, most, str(_table()["as_of"]), tuple(unknown))


def _bounds(kind: Any, max_workers: int) -> tuple[int, int]:
    return int(kind.get("min_workers", 0)), min(int(kind.get("max_workers", max_workers)), max_workers)
