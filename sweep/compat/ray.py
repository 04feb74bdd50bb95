"""Ray: private parts and undocumented settings that ``sweep`` relies on, each behind one function or constant.

All of them work with Ray ``TESTED[0]`` to ``TESTED[1]``: ``python -m tests.sweep.versions`` runs a study and the tests of this
module with both. Ray is imported within the functions: it takes a second, which ``--plan`` does not have.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainables.compat.ray import TESTED as TESTED
from trainables.compat.ray import draining_nodes as draining_nodes

GCS_SECONDS = 10.0
"""Time-out of a request to the GCS, the process that holds a cluster's metadata."""
HEAD_RESOURCE = "node:__internal_head__"
"""A resource that the head node alone has. Without it a trial that only waits for its Ray Train workers would hold a CPU
that they need."""
ACCELERATOR_PREFIX = "accelerator_type:"
"""Prefix of the resource by which Ray names the type of a node's GPUs. Without it prices and speeds of a GPU are unknown."""
MAX_PENDING_TRIALS = "TUNE_MAX_PENDING_TRIALS_PG"
"""Variable: trials that Tune requests ahead of their start. For a custom searcher Tune takes 1, and starts one process after
the other."""
ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # CUDA_VISIBLE_DEVICES stays as it is for a task of 0 GPUs; unset, Ray may warn
    "RAY_AIR_NEW_OUTPUT": "0",  # the older console output, which is silent at verbose=0
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # drops every line that Ray forwards; that a node is lost is reported by us
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # else Tune writes CSV, JSON and TensorBoard files of every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # else Tune handles Ctrl-C, which sweep.engine.signals does
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the state is in the study folder: Tune need not write its own
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Settings of Ray and Tune for a process that runs a study, mostly to keep them from the terminal."""


def command(*arguments: str) -> list[str]:
    """Return a command line of the ``ray`` tool of this very Python, whatever is on the PATH.

    Without it ``sweep.cluster`` might call another installation of Ray, or find none.
    """
    return [sys.executable, "-m", "ray.scripts.scripts", *arguments]


def disable_signal_handler() -> None:
    """Keep Ray's C++ from handling SIGTERM in this process; call it before ``ray.init``.

    Without it a SIGTERM while Ray starts ends the process with a stack trace in place of a clean stop.
    """
    from ray._private import ray_constants

    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True


@contextmanager
def shielded_processes() -> Iterator[None]:
    """Within, ``ray.init`` starts its processes where the signals that end a command do not reach them.

    They get a session of their own, so that a terminal and ``timeout``, which signal a process group, leave them alone; and
    they block SIGTERM and SIGHUP, which systemd and Slurm send to every process. The processes of workers inherit both.
    Without this Ray dies first, and the stages that should save a checkpoint with it.
    """
    from ray._private import services

    original = services.ConsolePopen

    class Shielded(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options, start_new_session=True)

        def terminate(self) -> None:  # at the end, by Ray: it would wait for an answer to SIGTERM that cannot come
            self.kill()

        def kill(self) -> None:  # with its agents, which a raylet that is killed leaves behind for a minute
            if self.poll() is None:
                os.killpg(self.pid, signal.SIGKILL)

    services.ConsolePopen = Shielded  # type: ignore[misc]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})  # a child inherits the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        services.ConsolePopen = original  # type: ignore[misc]


def reload_authentication() -> None:
    """Make Ray read ``RAY_AUTH_MODE`` and the token again, which it does only once, when it is imported.

    Without it a program that imported Ray first would start a cluster that is open to everyone.
    """
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def alive_nodes(address: str) -> dict[str, str]:
    """Return the nodes of a cluster that are alive, without joining it: id (hexadecimal) -> IP address.

    ``ray.nodes()`` wants ``ray.init``, which registers a driver and waits much longer for a cluster that does not answer.
    Without this ``sweep.cluster wait`` and the check that a cluster wants a token cannot work.

    Args:
        address: of the cluster, as for ``ray.init``; ``auto``: the one that this machine belongs to.

    Raises:
        ConnectionError: if ``auto`` finds no cluster on this machine.
        Exception: Ray's, if the cluster does not answer or refuses the token (``AuthenticationError``).
    """
    nodes = _gcs_client(address).get_all_node_info(timeout=GCS_SECONDS)
    return {node_id.hex(): node.node_manager_address for node_id, node in nodes.items() if node.state == 0}


def drain_node(address: str, node_id: str, taken: float) -> None:
    """Tell Ray that a node will be pre-empted: it starts nothing more there, and the node counts as draining.

    There is a command line for it, ``ray drain-node``, but no function. Without this the notice of a spot node is not
    passed on, and its stages lose what they did since their last checkpoint.

    Args:
        address: of the cluster.
        node_id: hexadecimal.
        taken: time at which the node will be gone, seconds since 1970.

    Raises:
        RuntimeError: if Ray refuses.
        Exception: Ray's, if the cluster does not answer.
    """
    from ray.core.generated import autoscaler_pb2

    reason = autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION  # type: ignore[attr-defined]
    accepted, why = _gcs_client(address).drain_node(node_id, reason, "spot notice", int(taken * 1000))
    if not accepted:
        raise RuntimeError(f"Ray does not drain the node {node_id}: {why}")


def this_node_address() -> str:
    """Return the IP address under which Ray registers this machine. Without it a spot node cannot tell which one it is."""
    from ray._private.services import get_node_ip_address

    return str(get_node_ip_address())  # type: ignore[no-untyped-call]


def _gcs_client(address: str) -> Any:
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    found = canonicalize_bootstrap_address(address)
    if not found or found == "local":
        raise ConnectionError(f"no cluster at {address}: none runs on this machine")
    return GcsClient(address=found)


def validate_cluster_config(config: dict[str, Any]) -> None:
    """Check a cluster file as ``ray up`` does.

    Only the prepared form is complete: defaults are filled in, and old keys are translated. Without this
    ``sweep.cluster check`` accepts files that ``ray up`` refuses.

    Args:
        config: content of the file; it is changed.

    Raises:
        jsonschema.ValidationError: if it violates Ray's schema.
        Exception: whatever else Ray raises, of many classes.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler._private.util").setLevel(logging.WARNING)
    validate_config(prepare_config(config))


def cloud_nodes(provider: Mapping[str, Any], cluster_name: str) -> list[str]:
    """Return the ids of the machines of a cluster that are not terminated, as the cloud says.

    Without it ``sweep.cluster down`` cannot tell whether machines are left that cost money.

    Args:
        provider: section ``provider`` of the cluster file.
        cluster_name: as in the cluster file.
    """
    from ray.autoscaler._private.providers import _get_node_provider

    return [str(node) for node in _get_node_provider(dict(provider), cluster_name).non_terminated_nodes({})]


def trial_actor(trial: Any) -> Any:
    """Return the handle of the actor that runs a Tune trial. Without it a trial that hangs cannot be killed."""
    return trial.temporary_state.ray_actor


@contextmanager
def out_of_memory_as_lost(report: Callable[[bool], None]) -> Iterator[None]:
    """Within, Tune treats an actor that Ray killed for want of memory as lost.

    Without it Tune, which knows no ``OutOfMemoryError``, ends the whole run with a RuntimeError.

    Args:
        report: called with whether memory was the reason, before Tune's callbacks hear of a failed actor; they are not
            told the reason. Called with False after them.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import OutOfMemoryError, RayActorError

    original = RayActorManager._actor_task_failed

    def replacement(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        out_of_memory = isinstance(exception, OutOfMemoryError)
        report(out_of_memory)
        try:
            original(self, tracked_actor_task, RayActorError() if out_of_memory else exception)
        finally:
            report(False)

    RayActorManager._actor_task_failed = replacement  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original  # type: ignore[method-assign]
