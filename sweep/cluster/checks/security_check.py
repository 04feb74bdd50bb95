"""Check that a cluster needs a token, and starts Ray so that all nodes join."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sweep.cluster.config.cluster_file import ClusterFile
from sweep.engine.auth_token import TOKEN_FILE, token_errors

MODE = "RAY_AUTH_MODE=token"


def errors(file: ClusterFile) -> Iterator[str]:
    """Yield an error for what is open to others, or would keep nodes from joining."""
    yield from _token(file)
    yield from _start(file, "head_start_ray_commands", "--head")
    yield from _start(file, "worker_start_ray_commands", "--address=$RAY_HEAD_IP:")
    yield from _head(file)


def _token(file: ClusterFile) -> Iterator[str]:
    mounts = file.section("file_mounts")
    source = next((str(here) for there, here in mounts.items() if str(there).endswith(".ray/auth_token")), None)
    if source is None:
        yield file.error(
            f'no token reaches the nodes: add "{TOKEN_FILE}": "{TOKEN_FILE}" to file_mounts', "file_mounts"
        )
    else:
        yield from (file.error(text, "file_mounts") for text in token_errors(Path(source).expanduser()))
    everywhere = any(
        MODE in line and ".bashrc" in line for line in file.commands("initialization_commands").splitlines()
    )
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        if not everywhere and not any(_has_mode(line) for line in _starts(file, name)):
            yield file.error(
                f"authentication is not on: {MODE} is neither exported in initialization_commands nor set before "
                "`ray start`. If it is on for some nodes only, the others never join and `ray up` reports nothing",
                name,
            )


def _has_mode(line: str) -> bool:
    return MODE in line.partition("ray start")[0]


def _starts(file: ClusterFile, name: str) -> list[str]:
    return [line for line in file.commands(name).splitlines() if "ray start" in line]


def _start(file: ClusterFile, name: str, needed: str) -> Iterator[str]:
    lines = _starts(file, name)
    if not lines:
        yield file.error(f"{name} do not start Ray: Ray's defaults would, with the dashboard open to everyone", name)
    elif not any(needed in line.replace("='$", "=$").replace('="$', "=$") for line in lines):
        yield file.error(f"{name}: `ray start` lacks {needed}", name)
    if any("disabled" in mode for line in lines for mode in re.findall(r"RAY_AUTH_MODE=(\w+)", line)):
        yield file.error(f"{name} turn authentication off", name)


def _head(file: ClusterFile) -> Iterator[str]:
    name = "head_start_ray_commands"
    for line in _starts(file, name):
        if "--autoscaling-config" not in line:
            yield file.error("the head starts no workers: `ray start --head` lacks --autoscaling-config", name)
        host = re.search(r"--dashboard-host[= ]'?([\w.:\[\]]+)", line)
        if host and host[1] not in ("127.0.0.1", "localhost"):
            yield file.error(
                f"the dashboard listens on {host[1]}: give --dashboard-host=127.0.0.1; `ray dashboard` opens a tunnel",
                name,
            )
        if file.provider == "local" and "RAY_enable_autoscaler_v2=0" not in line:
            yield file.error(
                "with `type: local` Ray's newer autoscaler starts one worker too few: put RAY_enable_autoscaler_v2=0 "
                "before `ray start --head`",
                name,
            )
