"""A Ray session: a local cluster of this process's own, or an existing cluster. Always with authentication."""

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

from sweep.compat import ray as compat
from sweep.engine.auth_token import own_token
from trainables.errors import UserError

MODE = "RAY_AUTH_MODE"
OBJECT_STORE_BYTES = 100_000_000
"""Stages exchange files, not objects: a small object store leaves the memory to training."""
LONGEST_SOCKET = 107
"""Bytes of the path of a socket at most, by Linux."""
QUOTING = "'\\"
"""Characters that Ray's raylet takes for quotation in the command lines of its workers."""


class ClusterError(Exception):
    """Ray did not start, or the node of this process is gone. Not the user's mistake: the same command may succeed."""


@dataclass(frozen=True)
class ClusterResources:
    """The resources of a cluster.

    Attributes:
        nodes: (CPUs, GPUs) of each node that is alive and not draining.
        accelerators: types of its GPUs, by Ray's names (``A10G``).
    """

    nodes: tuple[tuple[int, int], ...]
    accelerators: tuple[str, ...] = ()

    def __add__(self, other: ClusterResources) -> ClusterResources:
        """Return the resources of both together."""
        kinds = dict.fromkeys((*self.accelerators, *other.accelerators))
        return ClusterResources((*self.nodes, *other.nodes), tuple(kinds))

    @property
    def devices(self) -> tuple[str, ...]:
        """Short names of its devices (``A100``), each a part of the full name that CUDA reports; ``cpu`` without GPUs."""
        return tuple(name.partition("-")[0] for name in self.accelerators) if self.gpus else ("cpu",)

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return sum(gpus for _, gpus in self.nodes)


@contextmanager
def ray_session(address: str | None, allow_open: bool = False) -> Iterator[Callable[[], ClusterResources]]:
    """Start a local cluster, or join an existing one; stop or leave it at the end.

    Args:
        address: of the cluster; ``auto``: the one that this machine belongs to; None: start a local one.
        allow_open: whether a cluster may be joined that needs no token.

    Yields:
        a function that returns the resources of the cluster.

    Raises:
        UserError: if there is no cluster at the address, it denies access, or it needs no token.
        ClusterError: if Ray does not start in time, as on a machine that is too busy.
    """
    os.environ.update({name: value for name, value in compat.ENVIRONMENT.items() if name not in os.environ})
    os.environ["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # of Ray's processes: their output goes to its logs
    _choose_token(address, allow_open)
    compat.disable_signal_handler()
    compat.reload_authentication()
    import ray

    try:
        if address is None:
            with compat.shielded_processes():
                ray.init(
                    address="local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # if it takes too long to start, Ray raises a plain Exception
        if address is not None and isinstance(error, ConnectionError | RuntimeError | ValueError):
            raise UserError(f"cannot join the Ray cluster at {address}: {error}") from error
        where = "did not start on this machine" if address is None else f"could not be joined at {address}"
        raise ClusterError(f"Ray {where}: {str(error).rstrip('.')}") from error
    try:
        yield cluster_resources
    finally:
        ray.shutdown()


def refuse_temporary_folder() -> None:
    """Refuse a folder for temporary files that Ray's processes cannot use: they would not say so, and not start.

    Raises:
        UserError: with the variable that names the folder.
    """
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)  # as Ray looks for it
    if variable is not None and (fault := _fault_of_folder(folder := os.environ[variable])):
        raise UserError(
            f"{variable} names the folder {folder!a} for Ray's temporary files: {fault}. Set RAY_TMPDIR to another"
        )


def _fault_of_folder(folder: str) -> str | None:
    """Return why Ray cannot use a folder for temporary files; None if it can. It is created if it is not there."""
    longest = LONGEST_SOCKET - len(f"/ray/session_{'0' * 26}_{os.getpid()}/sockets/plasma_store")
    if not Path(folder).is_absolute():
        return "it is not an absolute path"
    if len(os.fsencode(folder)) > longest:
        return f"it is too long for the sockets there, at most {longest} characters are possible"
    if not (folder.isascii() and folder.isprintable()) or set(folder) & set(QUOTING):
        return f"not possible are characters that are not ASCII, and {' '.join(QUOTING)}"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"it cannot be written to ({error.strerror})"


def _choose_token(address: str | None, allow_open: bool) -> None:
    """Set the variables of authentication: a token of our own for a local cluster, else the user's."""
    if address is None:
        os.environ.update({MODE: "token", "RAY_AUTH_TOKEN_PATH": str(_local_token())})
        os.environ.pop("RAY_AUTH_TOKEN", None)
    elif not is_open(address):
        os.environ.update(own_token())
    elif allow_open:
        os.environ[MODE] = "disabled"  # its processes have no token, and could not answer a request with one
    else:
        raise UserError(
            f"the Ray cluster at {address} is open: anyone who reaches it can run programs on it and read your data. "
            "Start it with a token (`python -m sweep.cluster token`; docs/cluster.md), or give --allow-open-cluster"
        )


def cluster_resources() -> ClusterResources:
    """Return the resources that the joined cluster has now.

    Raises:
        ClusterError: if the node of this process is gone. Ray itself would wait without end for another one.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    if not any(node["NodeID"] == here and node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]
        raise ClusterError("Ray's node on this machine is gone: its raylet was killed, or did not answer for too long")
    found = [node["Resources"] for node in usable_nodes()]
    prefix = compat.ACCELERATOR_PREFIX
    accelerators = {name.removeprefix(prefix) for node in found for name in node if name.startswith(prefix)}
    nodes = tuple((int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in found)
    return ClusterResources(nodes, tuple(sorted(accelerators)))


def usable_nodes() -> list[dict[str, Any]]:
    """Return the nodes of the joined cluster that are alive and not draining, as ``ray.nodes()`` describes them."""
    import ray

    draining = compat.draining_nodes()
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in draining]  # type: ignore[no-untyped-call]


def is_open(address: str) -> bool:
    """Return whether a cluster answers a request without a token.

    Raises:
        UserError: if nothing answers at the address.
    """
    from ray.exceptions import AuthenticationError

    mode = os.environ.get(MODE)
    os.environ[MODE] = "disabled"
    compat.reload_authentication()
    try:
        with _stderr_closed():
            compat.alive_nodes(address)
    except AuthenticationError:
        return False
    except Exception as error:
        raise UserError(f"cannot join the Ray cluster at {address}: {error}") from error
    finally:
        os.environ.pop(MODE)
        os.environ.update({} if mode is None else {MODE: mode})
        compat.reload_authentication()
    return True


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Within, nothing reaches standard error, to which Ray's C++ writes directly."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@cache
def _local_token() -> Path:
    """Create a token for the local clusters of this process, and return its file.

    Ray listens on all interfaces, and the token file that it creates itself is readable by all users.
    """
    folder = tempfile.TemporaryDirectory(prefix="sweep-token-")
    atexit.register(folder.cleanup)
    file = Path(folder.name, "token")
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32), encoding="utf-8")
    return file
