"""Wall time of a study with W&B offline against off: ``python benchmarks/wandb_cost.py [--pairs N] [--set …]``.

The runs take turns, so that a machine that gets busier meets both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def seconds(mode: str, changes: list[str]) -> float:
    """Return the wall time of one run of the grid ``smoke`` in a new folder.

    Args:
        mode: of ``--wandb``.
        changes: of ``--set``.
    """
    command = [sys.executable, "-m", "sweep.run", "--grid", "smoke", "--wandb", mode]
    with tempfile.TemporaryDirectory(prefix="wandb-cost-") as folder:
        line = [*command, *(text for change in changes for text in ("--set", change))]
        started = time.perf_counter()
        subprocess.run(line, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    """Time pairs of runs; write each, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="change the grid, as of sweep.run")
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {"off": [], "offline": []}
    for pair in range(arguments.pairs):
        for mode in sorted(taken, reverse=bool(pair % 2)):
            taken[mode].append(seconds(mode, arguments.set))
            sys.stdout.write(f"{mode:8}{taken[mode][-1]:8.1f} s\n")
            sys.stdout.flush()
    medians = {mode: statistics.median(times) for mode, times in taken.items()}
    ratio = medians["offline"] / medians["off"]
    sys.stdout.write(f"medians: off {medians['off']:.1f} s, offline {medians['offline']:.1f} s, ratio {ratio:.3f}\n")


if __name__ == "__main__":
    main()
