"""What a cluster may grow to: its autoscaler starts nodes as soon as stages wait for them, from none at all.

Nothing running in the cluster tells it (only the autoscaler of KubeRay says it to Ray itself): it stands in the cluster
file, which ``ray up`` leaves on the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sweep.engine.ray_session import ACCELERATOR, ClusterResources
from trainables.errors import UserError

ON_HEAD = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` puts the cluster file on the head, with what it found out about the nodes."""


def autoscaling_limit(file: str | None) -> ClusterResources:
    """Return the nodes of the largest cluster that a cluster file allows, the head among them; none where there is no file.

    Args:
        file: as given; None: the one on the head, if this is the head of a cluster.

    Raises:
        UserError: if a file that was given cannot be read, or is no cluster file.
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
    workers = [has for name, kind in kinds.items() if name != head for has in _nodes(kind)]
    workers.sort(key=lambda has: (has[1], has[0]), reverse=True)  # the bound on all is used for GPUs first
    most = content.get("max_workers")
    workers = workers if most is None else workers[: int(most)]
    has = [_shape(kinds[head])] if head in kinds else []
    return ClusterResources((*has, *workers), tuple(sorted(_accelerators(kinds))))


def _nodes(kind: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    yield from [_shape(kind)] * int(kind.get("max_workers", 0))


def _shape(kind: Mapping[str, Any]) -> tuple[int, int]:
    resources: Mapping[str, Any] = kind.get("resources") or {}
    return int(resources.get("CPU", 0)), int(resources.get("GPU", 0))


def _accelerators(kinds: Mapping[str, Any]) -> set[str]:
    return {
        name.removeprefix(ACCELERATOR)
        for kind in kinds.values()
        for name in (kind.get("resources") or {})
        if name.startswith(ACCELERATOR)
    }
