"""Seconds a user waits for an answer: ``python benchmarks/startup.py [--rounds R]``.

``--help``, ``--plan`` of ``full_study`` with the data absent, and the second call of a finished study, report included.
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

from support import bench

ROOT = Path(__file__).parents[1]
CALLS = {
    "--help": (["--help"], 0.5),
    "--plan full_study": (["--grid", "full_study", "--plan"], 2.0),
    "second call": (["--grid", "smoke"], 3.0),
}


def main() -> None:
    """Time each call several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:

        def call(arguments: list[str]) -> float:
            started = time.perf_counter()
            command = [sys.executable, "-m", "sweep.run", *arguments]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
            return time.perf_counter() - started

        call(["--grid", "smoke"])
        lines = []
        for name, (arguments, limit) in CALLS.items():
            taken = [call(arguments) for _ in range(rounds)]
            shown = bench.spread(taken, "s", 2)
            lines.append(bench.ResultLine(shown, name, "", statistics.median(taken), limit, at_most=True))
        notes = [f"{rounds} calls each; the second call is of the finished grid `smoke`, its report included"]
        bench.record("seconds until an answer", lines, notes)


if __name__ == "__main__":
    main()
