"""What ``precision: auto`` means on this machine: bf16 if its hardware computes in bf16, else float32.

It is resolved once for a study and kept in ``study.json``, so that a plan made later on another machine has the same
keys. It is resolved on the machine that plans: if the workers have other hardware, give the precision in the grid.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any, Literal

Precision = Literal["float32", "bf16"]
AUTO = "auto"
FIRST_WITH_BF16 = 8.0
"""Compute capability of NVIDIA's Ampere, the first with bf16 tensor cores (CUDA C++ Programming Guide)."""
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
TIMEOUT_SECONDS = 10.0


@cache
def of_this_machine() -> Precision:
    """Return bf16 if every GPU of this machine computes in it; without GPUs, if its CPU does."""
    return fastest(gpu_capabilities(), cpu_flags())


def fastest(capabilities: list[float], flags: set[str]) -> Precision:
    """Return the precision for a machine.

    Args:
        capabilities: compute capability of each GPU.
        flags: of the CPU; they count only if there is no GPU.
    """
    has_bf16 = min(capabilities) >= FIRST_WITH_BF16 if capabilities else bool(CPU_FLAGS & flags)
    return "bf16" if has_bf16 else "float32"


def gpu_capabilities() -> list[float]:
    """Return the compute capability of each GPU; an empty list if ``nvidia-smi`` is absent or does not answer."""
    command = which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=compute_cap", "--format=csv,noheader"]
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        answer = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        return [float(line) for line in answer.stdout.split()] if answer.returncode == 0 else []
    return []


def cpu_flags(file: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the flags of the first CPU; an empty set on a system without ``/proc/cpuinfo``."""
    with suppress(OSError), file.open(encoding="utf-8") as lines:
        for line in lines:
            name, _, values = line.partition(":")
            if name.strip() == "flags":
                return set(values.split())
    return set()


def resolve(settings: dict[str, Any], ask: Callable[[], Precision]) -> dict[str, Any]:
    """Return the settings of a recipe with ``precision: auto`` replaced.

    Args:
        settings: of a recipe; without a precision, ``auto`` is meant.
        ask: returns what ``auto`` means; called only if needed.
    """
    return {**settings, "precision": ask()} if settings.get("precision", AUTO) == AUTO else settings
