"""Wait for the nodes of a cluster, and say why some have not joined: ``ray up`` succeeds even if workers fail."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.compat.ray import alive_nodes

POLL_SECONDS = 1.0
SSH_PORT = 22
CONNECT_SECONDS = 5.0
RAY_LOGS = "/tmp/ray/session_latest/logs"  # noqa: S108 - of another machine, and only read
"""Ray's default folder of logs on a node."""


def expected(file: ClusterFile) -> int:
    """Return how many nodes a cluster starts with, including the head."""
    if file.hosts:
        return len(file.hosts)
    return 1 + sum(int(kind.get("min_workers", 0)) for name, kind in file.node_types if name != file.head_type)


def alive(address: str) -> list[str]:
    """Return the addresses of the nodes that have joined.

    Raises:
        Exception: Ray's, if the cluster does not answer or denies access.
    """
    return sorted(alive_nodes(address).values())


def wait(address: str, wanted: int, seconds: float, echo: Callable[[str], Any]) -> list[str]:
    """Wait until a number of nodes have joined.

    Args:
        address: of the cluster.
        wanted: number of nodes, including the head.
        seconds: time limit.
        echo: prints a line.

    Returns:
        an error message if the nodes do not join in time, else nothing.
    """
    end = time.monotonic() + seconds
    seen: list[str] = []
    while True:
        try:
            found, failure = alive(address), ""
        except Exception as error:  # noqa: BLE001 - not up yet; reported at the end
            found, failure = [], _first_line(error)
        if found != seen:
            echo(f"{len(found)} of {wanted} nodes: {', '.join(found)}")
            seen = found
        if len(found) >= wanted:
            return []
        if time.monotonic() >= end:
            break
        time.sleep(POLL_SECONDS)
    message = f"{len(seen)} of {wanted} nodes have joined after {seconds:.0f} s: {', '.join(seen) or 'none'}"
    return [f"{message}{f'. {failure}' if failure else ''}"]


def why_missing(file: ClusterFile) -> Iterator[str]:
    """Yield for each on-premise machine why it has not joined; for a cloud, print what Ray's autoscaler reports."""
    from sweep.cluster.nodes.head_ssh import on_head

    for host in file.hosts:
        yield from _why(file, host)
    if not file.hosts:
        on_head(file, ["status"])


def _why(file: ClusterFile, host: str) -> Iterator[str]:
    from sweep.cluster.nodes.head_ssh import ssh

    try:
        socket.create_connection((host, SSH_PORT), CONNECT_SECONDS).close()
    except OSError as error:
        yield f"{host}: no ssh server answers on port {SSH_PORT} ({error.strerror or error}): is it switched on and connected?"
        return
    try:
        done = ssh(
            file,
            host,
            "echo mode=$RAY_AUTH_MODE; pgrep -x raylet >/dev/null && echo raylet; "
            f"tail -n 1 {RAY_LOGS}/raylet.err 2>/dev/null",
        )
    except subprocess.TimeoutExpired:
        yield f"{host}: answers on port {SSH_PORT}, but a command takes longer than a minute"
        return
    if done.returncode == 255:  # ssh's own
        yield f"{host}: ssh denies access to {file.section('auth').get('ssh_user')}: {done.stderr.strip()}"
        return
    lines = done.stdout.split("\n")
    if "mode=token" not in lines:
        yield f"{host}: RAY_AUTH_MODE is not `token` there: initialization_commands did not run, or ~/.bashrc is not read"
    if "raylet" not in lines:
        last = next((line for line in reversed(lines) if line and "=" not in line), "no log")
        yield f"{host}: Ray does not run there ({last}). On the head: tail {RAY_LOGS}/monitor.*"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
