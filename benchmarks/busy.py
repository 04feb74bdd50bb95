"""How busy all cores are while a command runs: ``python benchmarks/busy.py CMD ...``, on a machine with nothing else to do.

Asks the kernel (``/proc/stat``), so processes that are nobody's children, as Ray's, count too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from support import bench

IDLE, IOWAIT, STEAL = 3, 4, 7


def ticks() -> tuple[int, int]:
    """Return the ticks in which cores worked, and all that they were given, since the machine started."""
    counts = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    given = sum(counts) - counts[STEAL]
    return given - counts[IDLE] - counts[IOWAIT], given


def main() -> int:
    """Run the command; say how long it took and how busy the cores were."""
    (worked, given), started = ticks(), time.perf_counter()
    status = subprocess.run(sys.argv[1:]).returncode
    (worked_then, given_then), seconds = ticks(), time.perf_counter() - started
    busy = (worked_then - worked) / (given_then - given)
    line = bench.ResultLine(f"{busy:.3f} over {seconds:.0f} s", "all cores all the time", "1", busy, 0.92)
    bench.record("cores busy", [line], ["from the command's start to its end: preparation, plan, Ray, stages, report"])
    return status


if __name__ == "__main__":
    sys.exit(main())
