"""A node that is about to be taken away: a spot notice, or an autoscaler that gives it back."""

from __future__ import annotations


def draining() -> bool:
    """Say whether Ray drains the node of this process: it will be gone soon, and starts nothing more."""
    import ray
    from ray._private.state import state  # no public call tells it

    return ray.get_runtime_context().get_node_id() in state.get_draining_nodes()
