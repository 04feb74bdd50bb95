"""Asking the head of a cluster, over ssh, through ``ray exec``."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.engine.auth_token import own_token


def ray_command(*arguments: str) -> list[str]:
    """Return a command line of Ray's own tool, of this very Python."""
    return [sys.executable, "-m", "ray.scripts.scripts", *arguments]


def operator_environment() -> dict[str, str]:
    """Return the environment for Ray's tool on this side: it stays out of the cluster but wants the token's mode."""
    return {**os.environ, **own_token(), "RAY_USAGE_STATS_ENABLED": "0"}


def on_head(file: ClusterFile, arguments: Sequence[str]) -> int:
    """Run ``python -m sweep.cluster …`` on the head, in the project's folder there; return its exit status."""
    command = f"cd ~/scenario-sweep && python -m sweep.cluster {shlex.join(arguments)}"
    done = subprocess.run(
        ray_command("exec", "--no-config-cache", str(file.path), command), env=operator_environment(), check=False
    )
    return done.returncode


def ssh(file: ClusterFile, host: str, command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a command on one of one's own machines, as Ray does: in a login shell, host keys unchecked.

    Raises:
        subprocess.TimeoutExpired: if it takes too long.
    """
    auth = file.section("auth")
    key = ["-i", str(Path(str(auth["ssh_private_key"])).expanduser())] if "ssh_private_key" in auth else []
    options = [
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
        "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
    ]  # fmt: skip
    # Interactive: the usual ~/.bashrc returns at once where it is not, before the lines that set PATH and authentication.
    remote = f"bash --login -i -c {shlex.quote(f'source ~/.bashrc; {command}')}"
    line = ["ssh", *key, *options, f"{auth.get('ssh_user')}@{host}", remote]
    return subprocess.run(line, capture_output=True, text=True, timeout=seconds, check=False)
