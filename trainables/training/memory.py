"""Memory: what a CPU stage keeps for its next step, out of memory and what is given back then, the most that was used."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path
from typing import Any

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of ``mallopt(3)``."""
KEPT_PIECES, KEPT_IN_ALL = (1 << 30, 1 << 25), (1 << 31) - 1
"""Bytes: the largest piece of memory that is kept for the next step (an older glibc allows the second), and how much in all."""
CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether a device, or torch's allocator on the CPU, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or CPU_ALLOCATOR in str(error)


def keep_for_next_step(device: torch.device) -> None:
    """Have the C library keep the memory that tensors on a CPU give back, until ``trim``.

    By itself it returns large pieces to the system at once, and the system clears every page of the next one: a tenth
    of a step. Where the library is not glibc nothing changes.
    """
    if device.type == "cpu" and (mallopt := _of_libc("mallopt")) is not None:
        any(mallopt(M_MMAP_THRESHOLD, piece) for piece in KEPT_PIECES)
        mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)


def trim() -> None:
    """Return to the system what was kept: the next stage may be a smaller one, beside one that needs it."""
    if (malloc_trim := _of_libc("malloc_trim")) is not None:
        malloc_trim(0)


def _of_libc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)


def give_back() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def begin_watching(device: torch.device) -> None:
    """Count the peak from now on. On a CPU the peak is that of the process, whatever ran in it before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Return the most memory in use at a time: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # not ru_maxrss: it begins at what the parent had when it forked
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
