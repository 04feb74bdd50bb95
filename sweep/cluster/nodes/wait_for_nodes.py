"""Waiting for the nodes of a cluster; and why some are not in. ``ray up`` ends well while workers fail."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile

POLL_SECONDS = 1.0
SSH_PORT = 22
TRY_SECONDS = 5.0
RAY_LOGS = "/tmp/ray/session_latest/logs"  # noqa: S108 - of another machine, and only read
"""Where Ray itself keeps its logs on a node, unless told otherwise."""


def expected(file: ClusterFile) -> int:
    """Return how many nodes a cluster begins with, the head among them."""
    if file.hosts:
        return len(file.hosts)
    return 1 + sum(int(kind.get("min_workers", 0)) for name, kind in file.node_types if name != file.head_type)


def alive(address: str) -> list[str]:
    """Return the addresses of the nodes that are in.

    Raises:
        Exception: Ray's, if the cluster does not answer or does not let us in.
    """
    from sweep.engine.ray_session import GCS_SECONDS, gcs

    nodes = gcs(address).get_all_node_info(timeout=GCS_SECONDS)
    return sorted(node.node_manager_address for node in nodes.values() if node.state == 0)  # 0: alive


def wait(address: str, wanted: int, seconds: float, say: Callable[[str], Any]) -> list[str]:
    """Wait until so many nodes are in; return what is wrong where they do not come."""
    end = time.monotonic() + seconds
    seen: list[str] = []
    while True:
        try:
            found, trouble = alive(address), ""
        except Exception as error:  # noqa: BLE001 - not up yet, whatever Ray calls it; it is told at the end
            found, trouble = [], _first_line(error)
        if found != seen:
            say(f"{len(found)} of {wanted} nodes: {', '.join(found)}")
            seen = found
        if len(found) >= wanted:
            return []
        if time.monotonic() >= end:
            break
        time.sleep(POLL_SECONDS)
    who = f"{len(seen)} of {wanted} nodes are in after {seconds:.0f} s: {', '.join(seen) or 'none'}"
    return [f"{who}{f'. {trouble}' if trouble else ''}"]


def why_missing(file: ClusterFile) -> Iterator[str]:
    """Tell of each of one's own machines why it is not in; in a cloud, what Ray's autoscaler says."""
    from sweep.cluster.nodes.head_ssh import on_head

    for host in file.hosts:
        yield from _why(file, host)
    if not file.hosts:
        on_head(file, ["status"])


def _why(file: ClusterFile, host: str) -> Iterator[str]:
    from sweep.cluster.nodes.head_ssh import ssh

    try:
        socket.create_connection((host, SSH_PORT), TRY_SECONDS).close()
    except OSError as error:
        yield f"{host}: no ssh server answers on port {SSH_PORT} ({error.strerror or error}): is it on, and its link up?"
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
        yield f"{host}: ssh does not let {file.section('auth').get('ssh_user')} in: {done.stderr.strip()}"
        return
    lines = done.stdout.split("\n")
    if "mode=token" not in lines:
        yield f"{host}: RAY_AUTH_MODE is not `token` there: initialization_commands did not run, or ~/.bashrc is not read"
    if "raylet" not in lines:
        last = next((line for line in reversed(lines) if line and "=" not in line), "no log")
        yield f"{host}: Ray does not run there ({last}). On the head: tail {RAY_LOGS}/monitor.*"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
