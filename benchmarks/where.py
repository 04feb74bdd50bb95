"""Where the seconds of stages go: ``python benchmarks/where.py --grid mini --data D --weights W --cell NAME [--cell …]``.

Runs each cell as ``sweep.run --cell`` does, in a study of its own, as many copies at once as the machine has cores
(``--copies``): so a stage meets the company it has in a sweep. A part's seconds are its own, without those of the parts
it calls; ``rest`` is what no part claims.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


class Stopwatch:
    """Seconds by part; a part that another one calls stops the clock of its caller."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._parts = ["rest"]
        self._mark = time.perf_counter()

    def _switch(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._mark
        self._mark = now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is the part's, unless it runs within ``evaluate``: that is one part."""

        @functools.wraps(function)
        def wrapper(*arguments: Any, **named: Any) -> Any:
            self._switch()
            self._parts.append("evaluate" if "evaluate" in self._parts else part)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._parts.pop()

        return wrapper

    def timed_generator(self, part: str, function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        """Return a generator function whose time between its pauses is the part's."""

        @functools.wraps(function)
        def wrapper(*arguments: Any) -> Generator[Any, Any, Any]:
            work = function(*arguments)
            step = self.timed(part, lambda: next(work))
            while True:
                try:
                    step()
                except StopIteration as end:
                    return end.value
                yield

        return wrapper

    def patch(self, owner: Any, name: str, part: str) -> None:
        """Time a function where it is looked up."""
        setattr(owner, name, self.timed(part, getattr(owner, name)))


def watch() -> Stopwatch:
    """Time the parts of a stage."""
    import torch

    from trainables.data.loading import augment
    from trainables.data.loading.batches import InputSpec
    from trainables.data.packing.prepare import Packed
    from trainables.stage import run
    from trainables.store import study
    from trainables.training import train_step
    from trainables.training.checkpoint import Checkpoint
    from trainables.training.evaluation import Evaluator

    clock = Stopwatch()
    clock.patch(run, "set_up", "set up")
    clock.patch(Packed, "gather", "gather")
    clock.patch(augment, "draw", "augment")
    clock.patch(augment, "apply", "augment")
    clock.patch(InputSpec, "tensor", "normalise")
    clock.patch(torch.Tensor, "backward", "backward")
    Evaluator.evaluate = clock.timed_generator("evaluate", Evaluator.evaluate)
    clock.patch(Checkpoint, "_write", "checkpoint")
    for name in ("write", "write_table", "commit", "begin"):
        clock.patch(study.StageFolder, name, "files")
    clock.patch(study.Study, "folder", "files")
    made, runnable = train_step.make_optimizer, train_step.data_parallel

    def optimizer(*arguments: Any) -> Any:
        result = made(*arguments)
        clock.patch(result, "step", "optimiser")
        clock.patch(result, "zero_grad", "optimiser")
        return result

    def network(*arguments: Any) -> Any:
        return clock.timed("forward", runnable(*arguments))

    train_step.make_optimizer = optimizer
    train_step.data_parallel = network
    clock.patch(torch.nn.utils, "clip_grad_norm_", "optimiser")
    return clock


def cells(arguments: list[str], names: list[str]) -> dict[str, dict[str, float]]:
    """Run the cells one after the other in this process; return the seconds by part of each."""
    from sweep.run import main
    from trainables.stage import run

    clock = watch()
    run_stage, found = run.run_stage, {}

    def measured(*given: Any, **named: Any) -> Any:
        clock._switch()
        clock.seconds.clear()
        started, processor = time.perf_counter(), time.process_time()
        yield from run_stage(*given, **named)
        clock._switch()
        wall = time.perf_counter() - started
        clock.seconds |= {"wall": wall, "processor": time.process_time() - processor}
        found[given[0].name] = dict(clock.seconds)

    run.run_stage = measured
    with tempfile.TemporaryDirectory(prefix="where-") as storage:
        for name in names:
            if main([*arguments, "--storage", storage, "--wandb", "off", "--cell", name]):
                raise SystemExit(f"{name} failed")
    return found


def main() -> None:
    """Run the copies, and write a table: the mean seconds of each part and cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cell", action="append", required=True, help="a name as --plan --json has it; what it needs first"
    )
    parser.add_argument("--copies", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args()
    if asked.child:
        asked.child.write_text(json.dumps(cells(rest, asked.cell)))
        return
    with tempfile.TemporaryDirectory(prefix="where-") as folder:
        files = [Path(folder, f"{number}.json") for number in range(asked.copies)]
        names = [text for name in asked.cell for text in ("--cell", name)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        line = [sys.executable, __file__, *rest, *names, "--child"]
        running = [subprocess.Popen([*line, str(file)], env=environment, stdout=subprocess.DEVNULL) for file in files]
        if any(process.wait() for process in running):
            raise SystemExit("a copy failed")
        copies = [json.loads(file.read_text()) for file in files]
    for name in copies[0]:
        wall = sum(copy[name]["wall"] for copy in copies) / len(copies)
        sys.stdout.write(f"{name}: {wall:.1f} s\n")
        for part in sorted(copies[0][name], key=lambda part: -copies[0][name][part]):
            seconds = sum(copy[name].get(part, 0.0) for copy in copies) / len(copies)
            sys.stdout.write(f"  {part:12}{seconds:7.2f} s {seconds / wall:7.1%}\n")


if __name__ == "__main__":
    main()
