"""Whether the nodes of a running cluster are fit: same software, memory, disk, clocks, a storage that all of them share."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from trainables.errors import UserError

GB = 1e9
MIN_SHM, MIN_DISK = 1.0 * GB, 5.0 * GB
MAX_SKEW = 5.0
"""Seconds by which clocks may differ: the lease of a study on an object store depends on them."""
SECONDS = 120.0

Node = dict[str, Any]


def examine(address: str, storage: str | None) -> tuple[list[str], list[str]]:
    """Join a cluster and examine its nodes.

    Args:
        address: of the cluster.
        storage: location that all nodes must be able to write to and read from; None: none is checked.

    Returns:
        a line for each node, and all errors.

    Raises:
        UserError: if the cluster cannot be joined.
    """
    from sweep.engine.ray_session import is_open, ray_session

    found = []
    if is_open(address):
        found.append(f"{address} is open: anyone who reaches it can run programs on it. Start it with a token")
    with ray_session(address, allow_open=True):
        nodes = examine_all(storage)
        low = [warning for node in nodes for warning in low_space(node)]
        return [_line(node) for node in nodes], [*found, *errors_of(nodes), *low]


def require_healthy(storage: str) -> None:
    """Examine the nodes of the joined cluster before the first stage.

    Raises:
        UserError: with all errors.
    """
    if found := errors_of(examine_all(storage)):
        raise UserError([*found, "the cluster is not well: nothing was started"])


def examine_all(storage: str | None) -> list[Node]:
    """Examine every node of the joined cluster; each writes to the storage, and reads what the others wrote.

    Nodes that are draining, or are lost meanwhile, are left out: no stage will run there.

    Args:
        storage: location; None: none is checked.
    """
    import ray

    from sweep.cluster.nodes import node_probe
    from sweep.engine.ray_session import usable_nodes
    from trainables.store.storage import Storage

    logging.getLogger("ray").setLevel(logging.ERROR)
    alive = usable_nodes()
    names = [f".doctor-{uuid.uuid4().hex[:12]}" for _ in alive]
    started = time.time()
    try:
        tasks = [
            _on(ray.remote(node_probe.examine), node).remote(storage, name)
            for node, name in zip(alive, names, strict=True)
        ]
        nodes = [_result(ref, node) for ref, node in zip(tasks, alive, strict=True)]
        for node in nodes:
            node["skew"] = 0.0 if "time" not in node else max(started - node["time"], node["time"] - time.time(), 0.0)
        if storage is not None and all("versions" in node and node["storage"] is None for node in nodes):
            readers = [_on(ray.remote(node_probe.read_all), node).remote(storage, names) for node in alive]
            for node, ref in zip(nodes, readers, strict=True):
                node["storage"] = ray.get(ref, timeout=SECONDS)
    finally:
        if storage is not None:
            place = Storage(storage)
            for name in names:
                place.remove(name)
    left = {node["NodeID"] for node in usable_nodes()}
    return [
        result for result, node in zip(nodes, alive, strict=True) if "broken" not in result or node["NodeID"] in left
    ]


def _on(function: Any, node: Mapping[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return function.options(num_cpus=0, scheduling_strategy=where, max_retries=0)


def _result(ref: Any, node: Mapping[str, Any]) -> Node:
    import ray

    known = {"address": node["NodeManagerAddress"], "declared_gpus": int(node["Resources"].get("GPU", 0))}
    try:
        return {**known, **ray.get(ref, timeout=SECONDS)}
    except Exception as error:  # noqa: BLE001 - any is reported, as this node's
        return {**known, "broken": (str(error).strip().splitlines() or [type(error).__name__])[-1]}


def errors_of(nodes: list[Node]) -> list[str]:
    """Return the errors of examined nodes, because of which stages would fail or results would differ between nodes."""
    return [error for node in nodes for error in _errors(node, nodes[0])]


def _errors(node: Node, first: Node) -> Iterator[str]:
    name = node["address"]
    if "broken" in node:
        yield f"{name}: the project cannot run there: {node['broken']}. Did setup_commands succeed?"
        return
    for package, version in node["versions"].items():
        other = first.get("versions", {}).get(package, version)
        if version != other:
            yield f"{name}: {package} is {version}, on {first['address']} it is {other}: install from constraints.txt on both"
    if node["code"] != first.get("code", node["code"]):
        yield f"{name}: its copy of the project differs from that on {first['address']}: `ray up` again"
    if node["gpus"] < node["declared_gpus"]:
        yield f"{name}: {node['declared_gpus']} GPUs are declared to Ray, the NVIDIA driver shows {node['gpus']}"
    if node["skew"] > MAX_SKEW:
        yield f"{name}: its clock is off by {node['skew']:.0f} s: synchronise it with a time server"
    if node["storage"]:
        yield f"{name}: the storage: {node['storage']}. All nodes must share it: NFS, or s3://"


def low_space(node: Node) -> Iterator[str]:
    """Yield a warning for shared memory and disk that may not suffice. They often do, so a run starts all the same."""
    for field, least, place in (
        ("shm_free", MIN_SHM, "shared memory"),
        ("disk_free", MIN_DISK, "the temporary folder"),
    ):
        if "broken" not in node and (node[field] or 0) < least:
            yield f"{node['address']}: {(node[field] or 0) / GB:.1f} GB are free in {place}, {least / GB:.0f} are recommended"


def _line(node: Node) -> str:
    if "broken" in node:
        return f"{node['address']}: broken"
    return (
        f"{node['address']} ({node['host']}): Python {node['versions']['python']}, Ray {node['versions']['ray']}, "
        f"{node['declared_gpus']} GPUs, {(node['shm_free'] or 0) / GB:.1f} GB of shared memory, {(node['disk_free'] or 0) / GB:.0f} GB of disk free"
    )
