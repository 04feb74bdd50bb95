"""A Ray cluster to run on: one of this machine's own, or one that is there. Always with authentication."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sweep.engine.auth_token import own_token
from trainables.errors import UserError
from trainables.stage.preemption import draining_nodes

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # any line: a lost node's last words are no news; that it is lost, we tell
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study folder is the log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: see sweep.engine.signals
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the study folder is the state
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
MODE = "RAY_AUTH_MODE"
GCS_SECONDS = 10.0
ACCELERATOR = "accelerator_type:"
"""Begins the name of the resource by which Ray says of which kind a node's GPUs are."""
OBJECT_STORE_BYTES = 100_000_000
"""Stages exchange files, not objects: a small store leaves the memory to training."""


class ClusterError(Exception):
    """Ray did not start, or the node of this process is gone. Nobody's mistake: the same command may well succeed."""


@dataclass(frozen=True)
class ClusterResources:
    """What a cluster has.

    Attributes:
        nodes: CPUs and GPUs of each node that is alive and stays.
        accelerators: kinds of its GPUs, as Ray calls them (``A10G``).
    """

    nodes: tuple[tuple[int, int], ...]
    accelerators: tuple[str, ...] = ()

    def __add__(self, other: ClusterResources) -> ClusterResources:
        """Return what both have."""
        kinds = dict.fromkeys((*self.accelerators, *other.accelerators))
        return ClusterResources((*self.nodes, *other.nodes), tuple(kinds))

    @property
    def devices(self) -> tuple[str, ...]:
        """What its devices are called, in a word that their full names hold."""
        return tuple(name.partition("-")[0] for name in self.accelerators) if self.gpus else ("cpu",)

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return sum(gpus for _, gpus in self.nodes)


@contextmanager
def ray_session(address: str | None, allow_open: bool = False) -> Iterator[Callable[[], ClusterResources]]:
    """Start a local cluster, or join the one at ``address``; leave it at the end. Yields what tells its capacity.

    Args:
        address: of the cluster; ``auto`` for the one that this machine belongs to.
        allow_open: join it even if it lets anyone in.

    Raises:
        UserError: if there is no cluster at the address, it does not let us in, or it lets anyone in.
        ClusterError: if Ray does not start in time, as on a machine that is too busy.
    """
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    if address is None:
        os.environ.update({MODE: "token", "RAY_AUTH_TOKEN_PATH": str(_local_token())})
        os.environ.pop("RAY_AUTH_TOKEN", None)
    elif not is_open(address):
        os.environ.update(own_token())
    elif allow_open:
        os.environ[MODE] = "disabled"  # its processes have no token, and could not answer one who asks for it
    else:
        raise UserError(
            f"the Ray cluster at {address} is open: whoever reaches it runs what he likes on it, and reads your data. "
            "Bring it up with a token (`python -m sweep.cluster token`; docs/cluster.md), or give --allow-open-cluster"
        )
    import ray
    from ray._private import ray_constants

    # Of this process alone: while Ray starts, its handler in C++ would take SIGTERM, and end us with a trace of the stack.
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
    _read_the_environment_again()
    try:
        if address is None:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=OBJECT_STORE_BYTES,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of a start that takes too long Ray says so with a plain Exception
        if address is not None and isinstance(error, ConnectionError | RuntimeError | ValueError):
            raise UserError(f"cannot join the Ray cluster at {address}: {error}") from error
        where = "start on this machine" if address is None else f"let us in at {address}"
        raise ClusterError(f"Ray did not {where}: {str(error).rstrip('.')}") from error
    try:
        yield capacity
    finally:
        ray.shutdown()


def capacity() -> ClusterResources:
    """Return what the cluster has now.

    Raises:
        ClusterError: if the node of this process is gone. Ray goes on and waits for ever: a driver has no other node.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    if not any(node["NodeID"] == here and node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]
        raise ClusterError("Ray's node on this machine is gone: its raylet was killed, or did not answer for too long")
    alive = [node["Resources"] for node in nodes_that_stay()]
    kinds = {name.removeprefix(ACCELERATOR) for has in alive for name in has if name.startswith(ACCELERATOR)}
    nodes = tuple((int(has.get("CPU", 0)), int(has.get("GPU", 0))) for has in alive)
    return ClusterResources(nodes, tuple(sorted(kinds)))


def nodes_that_stay() -> list[dict[str, Any]]:
    """Return what Ray knows of each node of the cluster that was joined, but for those that are gone or will be soon."""
    import ray

    going = draining_nodes()
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in going]  # type: ignore[no-untyped-call]


def gcs(address: str) -> Any:
    """Return a client of the process that knows all of a cluster.

    Raises:
        Exception: Ray's, if the cluster does not answer or does not let us in.
    """
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    found = canonicalize_bootstrap_address(address)
    if not found or found == "local":
        raise ConnectionError(f"no cluster at {address}: none runs on this machine")
    return GcsClient(address=found)


def is_open(address: str) -> bool:
    """Try whether a cluster answers who has no token.

    Raises:
        UserError: if it cannot be told, as nothing answers there.
    """
    from ray.exceptions import AuthenticationError

    mode = os.environ.get(MODE)
    os.environ[MODE] = "disabled"
    _read_the_environment_again()
    try:
        with _unheard():
            gcs(address).get_all_node_info(timeout=GCS_SECONDS)
    except AuthenticationError:
        return False
    except Exception as error:
        raise UserError(f"cannot join the Ray cluster at {address}: {error}") from error
    finally:
        os.environ.pop(MODE)
        os.environ.update({} if mode is None else {MODE: mode})
        _read_the_environment_again()
    return True


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep from the terminal what Ray's C++ writes there by itself."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _read_the_environment_again() -> None:
    """Make Ray see how to authenticate: it reads that when it is imported, which may have been long before."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@cache
def _local_token() -> Path:
    """Give the local clusters of this process a token of their own, and return its file.

    Ray listens on all interfaces, and its own token file is readable by all.
    """
    folder = tempfile.TemporaryDirectory(prefix="sweep-token-")
    atexit.register(folder.cleanup)
    file = Path(folder.name, "token")
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))
    return file
