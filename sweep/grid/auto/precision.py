"""What ``precision: auto`` means: bf16 where the hardware computes in bf16 and the network gains by it, else float32.

It is resolved once for a study and kept in ``study.json``, so that a plan made later on another machine has the same
keys. It is resolved on the machine that plans: if the workers have other hardware, give the precision in the grid.

Whether a network gains is ruled by what is counted of it, never by a measurement: a CPU's units for bf16 multiply
matrices, and a depthwise convolution is none, so that converting to bf16 and back costs more than it saves.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which
from typing import Any, Literal

Precision = Literal["float32", "bf16"]
Bf16On = Literal["gpu", "cpu", "none"]
"""Which processor of a machine computes in bf16: its GPUs, or without GPUs its CPU."""

MOST_DEPTHWISE = 0.2
"""Share of depthwise convolutions (``Complexity.depthwise``) up to which a network is taken to gain by bf16 on a CPU."""
FIRST_WITH_BF16 = 8.0
"""Compute capability of NVIDIA's Ampere, the first with bf16 tensor cores (CUDA C++ Programming Guide)."""
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class KeptPrecision:
    """What ``precision: auto`` means in a study.

    Attributes:
        of: architecture -> precision, of those the study was begun with; those of another edition all have ``single``.
        bf16_on: the machine that the study was begun on, for architectures that are added.
        single: of every architecture, in a study of the first edition; None in later ones.
    """

    of: Mapping[str, Precision]
    bf16_on: Bf16On
    single: Precision | None = None

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> KeptPrecision:
        """Read ``study.json``; one without a precision is from before ``auto`` existed and has float32."""
        kept = header.get("precision", "float32")
        if isinstance(kept, Mapping):
            return cls(kept, header.get("bf16_on", "none"))
        return cls({}, "none", kept)

    def document(self) -> dict[str, Any]:
        """Return its fields of ``study.json``."""
        return (
            {"precision": dict(self.of), "bf16_on": self.bf16_on} if self.single is None else {"precision": self.single}
        )


@cache
def of_this_machine() -> Bf16On:
    """Return what computes in bf16 here: all GPUs; without GPUs the CPU; or nothing."""
    return bf16_units(gpu_capabilities(), cpu_flags())


def bf16_units(capabilities: list[float], flags: set[str]) -> Bf16On:
    """Return what computes in bf16 on a machine.

    Args:
        capabilities: compute capability of each GPU.
        flags: of the CPU; they count only if there is no GPU.
    """
    if capabilities:
        return "gpu" if min(capabilities) >= FIRST_WITH_BF16 else "none"
    return "cpu" if CPU_FLAGS & flags else "none"


def precision_for(bf16_on: Bf16On, depthwise: float | None) -> Precision:
    """Return the precision of a network.

    Args:
        bf16_on: what computes in bf16.
        depthwise: of the values that the network's convolutions write, the share that depthwise ones do; None: unknown.
    """
    gains = bf16_on == "gpu" or (bf16_on == "cpu" and depthwise is not None and depthwise <= MOST_DEPTHWISE)
    return "bf16" if gains else "float32"


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
