"""Taking a cluster down whole. ``ray down`` leaves the workers of one's own machines running."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.cluster.nodes.head_ssh import operator_environment, ray_command, ssh

SECONDS = 120.0
PROCESSES = "gcs_server|raylet|monitor.py|log_monitor.py|dashboard.py|agent.py|runtime_env_agent|^ray::"
COUNT = f"pgrep -af '{PROCESSES}' | grep -E '/ray/|^[0-9]+ ray::' | grep -vc pgrep; true"


def take_down(file: ClusterFile, say: Callable[[str], Any]) -> list[str]:
    """Stop every node, the head first so that it starts none anew; return what is left."""
    try:
        done = subprocess.run(
            ray_command("down", "-y", str(file.path)), env=operator_environment(),
            capture_output=True, text=True, timeout=SECONDS * 3, check=False,
        )  # fmt: skip
        complaint = [] if done.returncode == 0 else [f"`ray down` failed: {done.stderr.strip()[-500:]}"]
    except subprocess.TimeoutExpired:
        complaint = [f"`ray down` did not end within {SECONDS * 3:.0f} s"]
    if not file.hosts:
        left = _left_in_cloud(file)
        if not left:
            say("no node of this cluster is left")
            return complaint
        return [*complaint, f"still there: {', '.join(left)}. They cost money: end them in the console"]
    with ThreadPoolExecutor(len(file.hosts)) as pool:
        left = [fault for fault in pool.map(lambda host: _stop(file, host), file.hosts) if fault]
    if not left:
        say(f"Ray is gone from {', '.join(file.hosts)}")
    return complaint + left


def _stop(file: ClusterFile, host: str) -> str | None:
    try:
        # In two goes: `ray stop` kills whatever names one of these in its command line, a shell that would count them too.
        ssh(file, host, "ray stop --force >/dev/null 2>&1", SECONDS)
        done = ssh(file, host, COUNT, SECONDS)
    except subprocess.TimeoutExpired:
        return f"{host}: did not stop within {SECONDS:.0f} s"
    if done.returncode != 0:
        return f"{host}: cannot be reached ({done.stderr.strip() or 'ssh failed'}): its raylet ends by itself a minute after it lost the head"
    count = (done.stdout.strip().splitlines() or ["?"])[-1]
    return None if count == "0" else f"{host}: {count} processes of Ray are left"


def _left_in_cloud(file: ClusterFile) -> list[str]:
    """Return the nodes that the cloud still has of this cluster."""
    from ray.autoscaler._private.providers import _get_node_provider

    provider = _get_node_provider(file.section("provider"), str(file.value["cluster_name"]))
    return [str(node) for node in provider.non_terminated_nodes({})]
