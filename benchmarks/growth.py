"""How cost grows with the amount of work: ``python benchmarks/growth.py [NAME ...]``.

The names: planned, scheduled, slots, run, workers, packed, folded, analysed. Each writes a line of ``RESULTS.md``: the
sizes, the seconds, and the exponent, which is the slope of log seconds over log size. It is less than 1.2 for anything up
to n log n over these ranges; the larger of the whole range's and the last step's counts. Each size is measured in a process
of its own; its start is not counted, so that small sizes do not hide the slope. ``planned`` and ``scheduled`` also have a
bound of seconds for 10,000 stages (``BOUNDS``). They and ``slots`` wait for nothing, so their seconds are those of the
processor: what else runs on the machine counts less.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from support import bench

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def planned(count: int) -> float:
    """Plan this many cells, from the grid file to the keys of all stages (processor seconds)."""
    import pyarrow as pa
    import yaml

    from sweep.grid.loader import load_grid
    from sweep.plan.inputs import Inputs
    from sweep.plan.plan import make_plan
    from tests.sweep.support.tiny_grid import tiny_grid
    from trainables.data.packing.prepare import Packed
    from trainables.data.splits.splits import Split

    document = yaml.safe_load(tiny_grid(6, 2, 3))
    document["axes"]["learning_rate"] = [
        round(1e-6 * n, 8) for n in range(1, count // 4 + 1)
    ]  # × 2 scenarios × 2 folds
    inputs = Inputs()
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        file = Path(folder, "grid.yaml")
        file.write_text(yaml.safe_dump(document))
        started = time.process_time()
        grid = load_grid(str(file), [])
        for name in grid.data_sets:
            inputs.data[name] = Packed(Path(name), ("a", "b"), name, 32)
            inputs.splits[name] = Split(pa.table({"fold": [0, 1], "split": ["train", "train"]}), name)
        plan = make_plan(grid, inputs)
        seconds = time.process_time() - started
    if len(plan.cells) != count or not all(stage.key for stage in plan.stages):
        raise SystemExit(f"{len(plan.cells)} cells were planned instead of {count}, or some have no key")
    return seconds


def scheduled(count: int) -> float:
    """Schedule this many stages on 64 slots in simulated time (processor seconds)."""
    return _simulated(count, 64)


def slots(count: int) -> float:
    """Schedule 10,000 stages on this many slots in simulated time (processor seconds)."""
    return _simulated(10_000, count)


def _simulated(stages: int, count: int) -> float:
    from sweep.schedule.scheduler import Task
    from sweep.schedule.simulator import simulate

    tasks = [Task(str(n), (str(n // 10),) if n >= stages // 10 else (), 1.0 + n % 7, 8) for n in range(stages)]
    started = time.process_time()
    simulate(tasks, count)
    return time.process_time() - started


def run(count: int) -> float:
    """Send this many stages without work through Ray Tune, from its first request for a trial to the last result."""
    import overhead

    return overhead.seconds_of_nothing(count)[0]


def workers(count: int) -> float:
    """Seconds until this many trial processes have begun their first stage, on the cores of this machine."""
    import os

    import overhead
    from support import short_stages

    from sweep.engine import tune_backend
    from sweep.engine.driver import Driver
    from sweep.engine.ray_session import ray_session
    from sweep.engine.trial_request import TrialOptions
    from sweep.schedule.scheduler import Scheduler, Task
    from trainables.runtime import Workers
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    begun: list[float] = []

    class Noted(overhead.Nobody):
        def started(self, *arguments: Any) -> None:
            begun.append(time.perf_counter() - started)

    class Wide(overhead.FixedSlots):
        def slots(self) -> int:
            return count

    if "ONE_PENDING" in os.environ:  # Tune's default, to compare with
        tune_backend.PENDING = 1
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        orders = short_stages.read(short_stages.write(Path(folder), count))
        stages = [order.stage for order in orders]
        worker = Workers(cpus=round((os.cpu_count() or 1) / count, 4))
        with ray_session(None):
            schedule = Scheduler([Task(str(stage.key), (), 1.0) for stage in stages])
            study = Study(Storage(orders[0].study))
            driver = Driver(schedule, stages, study, orders[0].runtime, Noted(), TrialOptions(worker))
            started = time.perf_counter()
            tune_backend.run(driver, Wide())
    return max(begun)


def packed(count: int) -> float:
    """Prepare this many images of 16 × 16 pixels, not compressed, from HDF5 files."""
    import h5py
    import numpy as np

    from trainables.data.packing.prepare import prepare
    from trainables.data.readers.builtin.pcam import PCam

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        folder = Path(name, "pcam")
        folder.mkdir()
        for part, images in (("train", count - count // 5), ("valid", count // 10), ("test", count // 10)):
            with h5py.File(folder / f"camelyonpatch_level_2_split_{part}_x.h5", "w") as file:
                file["x"] = rng.integers(0, 256, (images, 16, 16, 3), np.uint8)
            with h5py.File(folder / f"camelyonpatch_level_2_split_{part}_y.h5", "w") as file:
                file["y"] = (np.arange(images) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
        started = time.perf_counter()
        data = prepare("pcam", PCam(reader="pcam"), Path(name), Path(name, "cache"))
        seconds, images = time.perf_counter() - started, len(data.labels)
    if images != count:
        raise SystemExit(f"{images} images were packed instead of {count}")
    return seconds


def folded(count: int) -> float:
    """Divide this many images of 21 classes into 5 folds, a tenth of them in groups of 5."""
    import numpy as np
    import pyarrow as pa

    from trainables.data.packing.prepare import Packed
    from trainables.data.splits.splits import SplitSpec, cross_validation

    data = Packed(Path("none"), tuple(f"class{number:02d}" for number in range(21)), "none", 32)
    groups = [f"patient{number // 5}" if number % 50 < 5 else None for number in range(count)]
    data.__dict__["index"] = pa.table(
        {
            "image_id": [f"{number}.jpg" for number in range(count)],
            "label": np.random.default_rng(0).integers(0, 21, count),
            "group": pa.array(groups, pa.string()),
            "part": pa.nulls(count, pa.string()),
            "sha256": [f"{number:064x}" for number in range(count)],
        }
    )
    started = time.perf_counter()
    split = cross_validation("images", data, SplitSpec(folds=5))
    seconds = time.perf_counter() - started
    if len(split.table) != 5 * count:
        raise SystemExit(f"the split has {len(split.table)} rows instead of {5 * count}")
    return seconds


def analysed(count: int) -> float:
    """Write the report of this many cells, one architecture for every 10, with 1/20 of the real number of images."""
    from analysis.page.build import build
    from tests.analysis.support import full_size
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        study = Study(Storage(folder))
        names = [f"net{number}" for number in range(count // 10)]
        with patch.dict(full_size.SKILL, dict.fromkeys(("Random", "ImageNet"), 1.0), clear=True):
            full_size.write_full_size(study, scale=0.05, architectures=names)
        started = time.perf_counter()
        build(study)
        return time.perf_counter() - started


SIZES: dict[Callable[[int], float], tuple[int, ...]] = {
    planned: (100, 1_000, 10_000, 100_000),
    scheduled: (100, 1_000, 10_000, 100_000),
    slots: (1, 4, 16, 64, 256, 1024),
    run: (100, 300, 1_000, 3_000),
    workers: (1, 2, 4, 8),
    packed: (1_000, 10_000, 100_000, 1_000_000),
    folded: (1_000, 10_000, 100_000, 1_000_000),
    analysed: (10, 30, 100, 300, 1_000),
}

BOUNDS: dict[Callable[[int], float], float] = {planned: 2.0, scheduled: 1.0}
"""Seconds that 10,000 stages may take, the median of ``ROUNDS`` processes."""
ROUNDS = 7


def slope(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the exponent: the least-squares slope of log seconds over log size."""
    x, y = [math.log(size) for size in sizes], [math.log(taken) for taken in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def measured(line: Callable[[int], float], size: int) -> float:
    """Return the seconds of one size of a line, measured in a process of its own."""
    command = [sys.executable, __file__, line.__name__, str(size)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def growth(line: Callable[[int], float], sizes: tuple[int, ...]) -> bench.ResultLine:
    """Measure all sizes of a line; return the exponent."""
    seconds = [measured(line, size) for size in sizes]
    shown = ", ".join(f"{size:,}: {taken:.3g} s" for size, taken in zip(sizes, seconds, strict=True))
    whole, last = slope(sizes, seconds), slope(sizes[-2:], seconds[-2:])
    against = f"exponent; {whole:.2f} over the whole range, {last:.2f} in the last step"
    return bench.ResultLine(shown, against, "", max(whole, last), 1.2, at_most=True)


def bound(line: Callable[[int], float]) -> bench.ResultLine:
    """Measure 10,000 stages several times; return the median beside its bound."""
    seconds = [measured(line, 10_000) for _ in range(ROUNDS)]
    against = f"seconds for 10,000 stages, median of {ROUNDS}"
    return bench.ResultLine(bench.spread(seconds, "s", 2), against, "", median(seconds), BOUNDS[line], at_most=True)


def main() -> None:
    """Measure the lines asked for, or all; or be the process of one size."""
    if len(sys.argv) == 3 and sys.argv[2].isdigit():
        sys.stdout.write(f"\n{globals()[sys.argv[1]](int(sys.argv[2]))}\n")
        return
    for line, sizes in SIZES.items():
        if not sys.argv[1:] or line.__name__ in sys.argv[1:]:
            lines = [growth(line, sizes), *([bound(line)] if line in BOUNDS else [])]
            bench.record(f"growth, {line.__name__}", lines, [str(line.__doc__).strip()])


if __name__ == "__main__":
    main()
