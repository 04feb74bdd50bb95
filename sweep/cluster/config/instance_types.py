"""What kinds of machine have, and cost: a small table in a file."""

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
    """A kind of machine.

    Attributes:
        dollars: list price of an hour on demand.
    """

    cpus: int
    gpus: int
    dollars: float


@dataclass(frozen=True)
class HourlyPrice:
    """What an hour of a cluster costs at most, in dollars; ``unknown`` are machines that the table lacks."""

    least: float
    most: float
    as_of: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a sentence."""
        without = f", without {', '.join(self.unknown)}, which the table lacks" if self.unknown else ""
        return f"an hour costs {self.least:.2f} $ at least and {self.most:.2f} $ at most (list prices on demand of {self.as_of}; spot is less){without}"


@cache
def _table() -> dict[str, Any]:
    return dict(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def instance(machine: str) -> Instance | None:
    """Return what a kind of machine has and costs, or None where the table lacks it."""
    row = _table()["machines"].get(machine)
    return None if row is None else Instance(*row)


def hourly_price(file: ClusterFile) -> HourlyPrice:
    """Return what an hour costs with as few workers as the file allows, and with as many."""
    least = most = 0.0
    unknown: list[str] = []
    room = int(file.value.get("max_workers", 0))
    for name, kind in file.node_types:
        machine = str((kind.get("node_config") or {}).get("InstanceType", "?"))
        known = instance(machine)
        if known is None:
            unknown.append(machine)
            continue
        few, many = (1, 1) if name == file.head_type else _bounds(kind, room)
        least, most = least + few * known.dollars, most + many * known.dollars
    return HourlyPrice(least, most, str(_table()["as_of"]), tuple(unknown))


def _bounds(kind: Any, room: int) -> tuple[int, int]:
    return int(kind.get("min_workers", 0)), min(int(kind.get("max_workers", room)), room)
