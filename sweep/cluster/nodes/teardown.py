"""Terminate a whole cluster. ``ray down`` alone leaves the workers on on-premise machines running."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.cluster.nodes.head_ssh import operator_environment, ssh
from sweep.compat import ray as compat

SECONDS = 120.0
PROCESSES = "gcs_server|raylet|monitor.py|log_monitor.py|dashboard.py|agent.py|runtime_env_agent|^ray::"
COUNT = f"pgrep -af '{PROCESSES}' | grep -E '/ray/|^[0-9]+ ray::' | grep -vc pgrep; true"


def terminate(file: ClusterFile, echo: Callable[[str], Any]) -> list[str]:
    """Stop every node, the head first so that it starts no new ones.

    Args:
        file: of the cluster.
        echo: prints a line.

    Returns:
        an error message for each node that is left, and for a failed ``ray down``.
    """
    try:
        done = subprocess.run(
            compat.command("down", "-y", str(file.path)), env=operator_environment(),
            capture_output=True, text=True, timeout=SECONDS * 3, check=False,
        )  # fmt: skip
        failure = [] if done.returncode == 0 else [f"`ray down` failed: {done.stderr.strip()[-500:]}"]
    except subprocess.TimeoutExpired:
        failure = [f"`ray down` did not end within {SECONDS * 3:.0f} s"]
    if not file.hosts:
        left = _left_in_cloud(file)
        if not left:
            echo("no node of this cluster is left")
            return failure
        return [*failure, f"still running: {', '.join(left)}. They cost money: terminate them in the console"]
    with ThreadPoolExecutor(len(file.hosts)) as pool:
        left = [error for error in pool.map(lambda host: _stop(file, host), file.hosts) if error]
    if not left:
        echo(f"Ray is stopped on {', '.join(file.hosts)}")
    return failure + left


def _stop(file: ClusterFile, host: str) -> str | None:
    try:
        # Two commands: `ray stop` kills every process whose command line names one of these, also a shell that would count them.
        ssh(file, host, "ray stop --force >/dev/null 2>&1", SECONDS)
        done = ssh(file, host, COUNT, SECONDS)
    except subprocess.TimeoutExpired:
        return f"{host}: did not stop within {SECONDS:.0f} s"
    if done.returncode != 0:
        return f"{host}: cannot be reached ({done.stderr.strip() or 'ssh failed'}): its raylet ends by itself a minute after it lost the head"
    count = (done.stdout.strip().splitlines() or ["?"])[-1]
    return None if count == "0" else f"{host}: {count} processes of Ray are left"


def _left_in_cloud(file: ClusterFile) -> list[str]:
    """Return the machines of this cluster that the cloud still has."""
    return compat.cloud_nodes(file.section("provider"), str(file.value["cluster_name"]))
