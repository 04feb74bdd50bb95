"""Nodes that are about to be taken away: a spot notice, or an autoscaler that gives them back."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainables.compat.ray import draining_nodes

NOTICE = "its node is about to be taken away"
LOOK_SECONDS = 1.0


def is_draining() -> bool:
    """Say whether the node of this process is one of them; no, where there is no cluster, or it does not answer."""
    import ray

    if not ray.is_initialized():
        return False  # to ask even so would start one, open to all
    try:
        return ray.get_runtime_context().get_node_id() in draining_nodes()
    except Exception:  # noqa: BLE001 - a question that finds no answer is no fault of the stage
        return False


def polled(look: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> Callable[[], bool]:
    """Return a look that may be asked at every step: it asks the cluster once a second, and then knows."""
    found, due = False, clock()

    def asked() -> bool:
        nonlocal found, due
        if not found and clock() >= due:
            found, due = look(), clock() + LOOK_SECONDS
        return found

    return asked
