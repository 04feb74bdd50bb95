"""Ray: what its public interface does not offer, or offers differently from version to version.

Every function here works with Ray ``TESTED[0]`` to ``TESTED[1]``: ``python -m tests.sweep.versions`` runs a study and the
tests of this module with both.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

TESTED = ("2.53.0", "2.60.0")
"""Lowest and highest version of Ray that was tested; the lowest is the bound in pyproject.toml."""


def draining_nodes() -> set[str]:
    """Return the ids (hexadecimal) of the nodes that Ray drains: they will be gone soon, and start nothing more.

    ``ray.nodes()`` does not tell a draining node from others. Without this a stage is not saved before its spot node is
    taken, and new stages are sent to nodes that refuse them.

    Raises:
        Exception: Ray's, if this process belongs to no cluster or the cluster does not answer.
    """
    from ray._private.state import state

    return set(state.get_draining_nodes())


def no_retries() -> Any:
    """Return the ``FailureConfig`` of a Ray Train run that tries nothing again: the scheduler does that.

    The fields are public, but differ between versions. Without the later ones Ray Train starts again without end, with as
    many workers as before, after a node was drained or while the cluster has no place for the workers.
    """
    from ray.train import FailureConfig

    budgets = {"max_failures", "controller_failure_limit", "max_preemption_failures"}
    known: dict[str, Any] = {field.name: 0 for field in fields(FailureConfig) if field.name in budgets}
    return FailureConfig(**known)
