"""Run commands on the nodes of a cluster over ssh: on the head through ``ray exec``, on other machines directly."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.compat import ray as compat
from sweep.engine.auth_token import own_token


def operator_environment() -> dict[str, str]:
    """Return the environment for the ``ray`` tool here: it does not join the cluster, but needs the authentication mode."""
    return {**os.environ, **own_token(), "RAY_USAGE_STATS_ENABLED": "0"}


def on_head(file: ClusterFile, arguments: Sequence[str]) -> int:
    """Run ``python -m sweep.cluster …`` on the head, in the project's folder there.

    Args:
        file: of the cluster.
        arguments: of ``sweep.cluster``.

    Returns:
        its exit status.
    """
    command = f"cd ~/scenario-sweep && python -m sweep.cluster {shlex.join(arguments)}"
    done = subprocess.run(
        compat.command("exec", "--no-config-cache", str(file.path), command), env=operator_environment(), check=False
    )
    return done.returncode


def ssh(file: ClusterFile, host: str, command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a command on an on-premise machine as Ray does: in a login shell, without checking host keys.

    Args:
        file: of the cluster; has the user and the private key.
        host: address.
        command: for bash.
        seconds: time limit.

    Raises:
        subprocess.TimeoutExpired: if it takes longer.
    """
    auth = file.section("auth")
    key = ["-i", str(Path(str(auth["ssh_private_key"])).expanduser())] if "ssh_private_key" in auth else []
    options = [
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
    ]  # fmt: skip
    # Interactive: the usual ~/.bashrc returns at once if the shell is not, before it sets PATH and authentication.
    remote = f"bash --login -i -c {shlex.quote(f'source ~/.bashrc; {command}')}"
    line = ["ssh", *key, *options, f"{auth.get('ssh_user')}@{host}", remote]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)
