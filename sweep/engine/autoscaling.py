"""What an autoscaler may make of a cluster: it starts nodes as soon as stages wait for them, even from none.

A running cluster does not say so (only KubeRay's autoscaler reports it to Ray). It is in the cluster file, which ``ray up``
copies to the head node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sweep.compat.ray import ACCELERATOR_PREFIX
from sweep.engine.ray_session import ClusterResources
from trainables.errors import UserError

ON_HEAD = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` puts the cluster file on the head node, completed with the resources of each node type."""


def autoscaling_limit(file: str | None) -> ClusterResources:
    """Return the resources of the largest cluster that a cluster file allows, including the head node.

    Args:
        file: path; None: the file on this machine, if it is the head node of a cluster.

    Returns:
        no nodes if ``file`` is None and there is no file.

    Raises:
        UserError: if the file cannot be read, or is not a cluster file.
    """
    place = Path(file) if file else ON_HEAD.expanduser()
    if file is None and not place.is_file():
        return ClusterResources(())
    try:
        content = yaml.safe_load(place.read_text(encoding="utf-8"))
        return _largest(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"cannot read the cluster file {place}: {error}. cluster.yaml is an example") from error


def _largest(content: Mapping[str, Any]) -> ClusterResources:
    kinds: Mapping[str, Any] = content.get("available_node_types") or {}
    head = str(content.get("head_node_type", ""))
    workers = [node for name, kind in kinds.items() if name != head for node in _nodes(kind)]
    workers.sort(key=lambda node: (node[1], node[0]), reverse=True)  # max_workers is used for GPUs first
    most = content.get("max_workers")
    workers = workers if most is None else workers[: int(most)]
    nodes = [_shape(kinds[head])] if head in kinds else []
    return ClusterResources((*nodes, *workers), tuple(sorted(_accelerators(kinds))))


def _nodes(kind: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    yield from [_shape(kind)] * int(kind.get("max_workers", 0))


def _shape(kind: Mapping[str, Any]) -> tuple[int, int]:
    resources: Mapping[str, Any] = kind.get("resources") or {}
    return int(resources.get("CPU", 0)), int(resources.get("GPU", 0))


def _accelerators(kinds: Mapping[str, Any]) -> set[str]:
    return {
        name.removeprefix(ACCELERATOR_PREFIX)
        for kind in kinds.values()
        for name in (kind.get("resources") or {})
        if name.startswith(ACCELERATOR_PREFIX)
    }
