"""Preemption: whether Ray drains the node of this process, after a spot notice or to scale the cluster down."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainables.compat.ray import draining_nodes

NOTICE = "its node is about to be taken away"
POLL_SECONDS = 1.0


def is_draining() -> bool:
    """Return whether the node of this process is being drained; False without a cluster, or if it does not answer."""
    import ray

    if not ray.is_initialized():
        return False  # asking would start a cluster, without authentication
    try:
        return ray.get_runtime_context().get_node_id() in draining_nodes()
    except Exception:  # noqa: BLE001 - a cluster that does not answer is no error of the stage
        return False


def throttled(look: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Wrap ``look`` so that it runs at most once a second, and no more once it returned True.

    Args:
        look: slow; asks the cluster.
        clock: seconds, monotonic.

    Returns:
        a function that is cheap enough for every training step: the last answer of ``look``.
    """
    found, due = False, clock()

    def latest() -> bool:
        nonlocal found, due
        if not found and clock() >= due:
            found, due = look(), clock() + POLL_SECONDS
        return found

    return latest
