"""Seconds and memory of the report of a study of the real size: ``python benchmarks/full_report.py [--rounds R]``.

120 cells × 34,275 test images × 21 classes, made up; ``python -m analysis.report`` in a process of its own.
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

from support import bench, environments

sys.path.insert(0, str(environments.ROOT))

REPORT = """
import sys
from analysis.report import main
status = main([sys.argv[1]])
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
sys.exit(status)
"""


def main() -> None:
    """Write the study once, and its report several times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    from tests.analysis.support.full_size import write_full_size
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    taken, peak = [], 0.0
    environment = {**os.environ, "PYTHONPATH": str(environments.ROOT)}
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        write_full_size(Study(Storage(Path(folder))))
        for _ in range(rounds):
            started = time.perf_counter()
            command = [sys.executable, "-c", REPORT, folder]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            taken.append(time.perf_counter() - started)
            peak = max(peak, float(done.stdout.split()[-1]) / 1e6)
    shown = f"{bench.spread(taken, 's', 1)}, {peak:.2f} GB"
    line = bench.ResultLine(
        shown, "120 cells × 34,275 images × 21 classes", "", statistics.median(taken), 20.0, at_most=True
    )
    bench.record("report of 120 cells", [line], [f"rounds: {rounds}; every digest checked and every score recomputed"])


if __name__ == "__main__":
    main()
