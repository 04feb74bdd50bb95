"""Whether a running cluster is well: the same software everywhere, room, clocks, a storage that all nodes share."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from trainables.errors import UserError

GB = 1e9
LEAST_SHM, LEAST_DISK = 1.0 * GB, 5.0 * GB
MOST_SKEW = 5.0
"""Seconds by which clocks may differ: the lease of a study on an object store goes by them."""
SECONDS = 120.0

Node = dict[str, Any]


def examine(address: str, storage: str | None) -> tuple[list[str], list[str]]:
    """Join a cluster and examine it; return a line for each node, and what is wrong.

    Raises:
        UserError: if it cannot be joined.
    """
    from sweep.engine.ray_session import is_open, ray_session

    anyone = (
        [f"{address}: whoever reaches it runs what he likes on it: bring it up with a token"]
        if is_open(address)
        else []
    )
    with ray_session(address, allow_open=True):
        nodes = look_at_all(storage)
        little = [fault for node in nodes for fault in little_room(node)]
        return [_line(node) for node in nodes], [*anyone, *faults_of(nodes), *little]


def refuse_unwell(storage: str) -> None:
    """The short form, before the first stage that is paid for, in a cluster that was joined.

    Raises:
        UserError: with all that is wrong.
    """
    if faults := faults_of(look_at_all(storage)):
        raise UserError([*faults, "the cluster is not well: nothing was started"])


def look_at_all(storage: str | None) -> list[Node]:
    """Ask every node of the cluster that was joined; each writes to the storage, and reads what the others wrote.

    One that is drained, or is lost meanwhile, is left out: nothing will run there.
    """
    import ray

    from sweep.cluster.nodes import node_probe
    from sweep.engine.ray_session import nodes_that_stay
    from trainables.store.storage import Storage

    logging.getLogger("ray").setLevel(logging.ERROR)
    alive = nodes_that_stay()
    names = [f".doctor-{uuid.uuid4().hex[:12]}" for _ in alive]
    begun = time.time()
    try:
        asked = [
            _there(ray.remote(node_probe.look), node).remote(storage, name)
            for node, name in zip(alive, names, strict=True)
        ]
        nodes = [_answer(ref, node) for ref, node in zip(asked, alive, strict=True)]
        for node in nodes:
            node["skew"] = 0.0 if "time" not in node else max(begun - node["time"], node["time"] - time.time(), 0.0)
        if storage is not None and all("versions" in node and node["storage"] is None for node in nodes):
            readers = [_there(ray.remote(node_probe.read_all), node).remote(storage, names) for node in alive]
            for node, ref in zip(nodes, readers, strict=True):
                node["storage"] = ray.get(ref, timeout=SECONDS)
    finally:
        if storage is not None:
            place = Storage(storage)
            for name in names:
                place.remove(name)
    stay = {node["NodeID"] for node in nodes_that_stay()}
    return [
        answer for answer, node in zip(nodes, alive, strict=True) if "broken" not in answer or node["NodeID"] in stay
    ]


def _there(function: Any, node: Mapping[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return function.options(num_cpus=0, scheduling_strategy=where, max_retries=0)


def _answer(ref: Any, node: Mapping[str, Any]) -> Node:
    import ray

    known = {"address": node["NodeManagerAddress"], "promised_gpus": int(node["Resources"].get("GPU", 0))}
    try:
        return {**known, **ray.get(ref, timeout=SECONDS)}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told of this node
        return {**known, "broken": (str(error).strip().splitlines() or [type(error).__name__])[-1]}


def faults_of(nodes: list[Node]) -> list[str]:
    """Return what is wrong with nodes that were looked at, so that a study would fail on them or be mixed."""
    return [fault for node in nodes for fault in _faults(node, nodes[0])]


def _faults(node: Node, first: Node) -> Iterator[str]:
    name = node["address"]
    if "broken" in node:
        yield f"{name}: the project does not run there: {node['broken']}. Did setup_commands succeed?"
        return
    for package, version in node["versions"].items():
        other = first.get("versions", {}).get(package, version)
        if version != other:
            yield f"{name}: {package} is {version}, on {first['address']} it is {other}: install from constraints.txt on both"
    if node["code"] != first.get("code", node["code"]):
        yield f"{name}: its copy of the project differs from that on {first['address']}: `ray up` again"
    if node["gpus"] < node["promised_gpus"]:
        yield f"{name}: {node['promised_gpus']} GPUs are promised, the driver shows {node['gpus']}"
    if node["skew"] > MOST_SKEW:
        yield f"{name}: its clock is off by {node['skew']:.0f} s: let it follow a time server"
    if node["storage"]:
        yield f"{name}: the storage: {node['storage']}. All nodes must share it: NFS, or s3://"


def little_room(node: Node) -> Iterator[str]:
    """What may become too little; it often is not, so a run starts all the same."""
    for what, least, folder in (
        ("shm_free", LEAST_SHM, "shared memory"),
        ("disk_free", LEAST_DISK, "the temporary folder"),
    ):
        if "broken" not in node and (node[what] or 0) < least:
            yield f"{node['address']}: {(node[what] or 0) / GB:.1f} GB are free in {folder}, {least / GB:.0f} are wanted"


def _line(node: Node) -> str:
    if "broken" in node:
        return f"{node['address']}: broken"
    return (
        f"{node['address']} ({node['host']}): Python {node['versions']['python']}, Ray {node['versions']['ray']}, "
        f"{node['promised_gpus']} GPUs, {(node['shm_free'] or 0) / GB:.1f} GB of shared memory, {(node['disk_free'] or 0) / GB:.0f} GB of disk free"
    )
