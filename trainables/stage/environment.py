"""The environment of a stage in its result: code, versions and hardware, for reproduction."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from trainables.specs import Recipe

PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow", "simplejpeg", "ray")


def describe(device: torch.device, recipe: Recipe, world_size: int) -> dict[str, Any]:
    """Return the environment of a result: commit, versions, device, node, world size, precision, threads.

    Args:
        device: of this worker.
        recipe: precision and threads of the stage.
        world_size: number of workers.
    """
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu ({platform.machine()}, {_cpu_name()})",
        "node": socket.gethostname(),
        "process": os.getpid(),
        "world_size": world_size,
        "precision": recipe.precision,
        "threads": recipe.threads,
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _commit() -> str | None:
    """The git commit of this code, ``+changes`` if files were changed since; None outside a git checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


@cache
def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
