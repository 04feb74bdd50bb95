"""What a stage in a sweep costs beside its own work: ``python benchmarks/overhead.py [--stages N] [--rounds R]``.

The same short real stages, 2 at a time, are run in turn by the engine, by a bare loop of 2 processes (the limit) and
by what a user would have taken instead: a process a cell, Hydra with joblib, a TorchTrainer a trial. Every way starts
in a process of its own, Ray or workers included, and must end with the bits of the others.
``--nothing N``: N stages that are done already through real Ray Tune, with the memory of the driver.
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
from typing import Any

from support import bench, environments, short_stages

AT_A_TIME = 2
STATUS = Path("/proc/self/status")
PEERS = ("hydra-core==1.3.2", "hydra-joblib-launcher==1.2.0")
WAYS = ("loop", "engine", "process", "hydra", "trainer")


class FixedSlots:
    """Two slots and no limits."""

    def slots(self) -> int:
        """Return how many stages at a time."""
        return AT_A_TIME

    def headroom(self) -> int:
        """Say that there will be no more."""
        return 0

    def slots_per_node(self) -> int:
        """Return how many a single stage may hold."""
        return 1

    def hung(self) -> list[str]:
        """Say that none hangs."""
        return []

    def admits(self) -> Any:
        """Admit all."""
        from sweep.schedule.budget import anything

        return anything

    def over(self) -> str | None:
        """Say that no limit is reached."""
        return None


class Nobody:
    """A watcher that shows nothing."""

    def started(self, *told: Any) -> None:
        """Ignore it."""

    progressed = finished = started

    def failed(self, stage: Any, error: str, *told: Any) -> None:
        """Give up."""
        raise RuntimeError(error)


def engine(file: Path) -> None:
    """Run them as ``sweep.run`` does, without its plan and its report."""
    from sweep.engine import tune_backend
    from sweep.engine.driver import Driver
    from sweep.engine.ray_session import ray_session
    from sweep.schedule.scheduler import Scheduler, Task
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    orders = short_stages.read(file)
    stages = [order.stage for order in orders]
    with ray_session(None):
        schedule = Scheduler([Task(str(stage.key), (), 1.0) for stage in stages])
        study = Study(Storage(orders[0].study))
        driver = Driver(schedule, stages, study, orders[0].runtime, Nobody())
        started = time.perf_counter()
        tune_backend.run(driver, FixedSlots())
        elapsed = time.perf_counter() - started
    peak = next(line.split()[1] for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(f"{elapsed} {peak}\n")


def share(file: Path, number: int) -> None:
    """Run every AT_A_TIME-th stage: one process of the bare loop.

    Args:
        file: of the trial requests.
        number: of this process, from 0.
    """
    for order in short_stages.read(file)[number::AT_A_TIME]:
        short_stages.run(order)


def loop(file: Path) -> None:
    """Run them in as many processes, each in a loop over its part."""
    command = [sys.executable, __file__, "--file", str(file), "--share"]
    started = [subprocess.Popen([*command, str(number)]) for number in range(AT_A_TIME)]
    if any(process.wait() for process in started):
        raise RuntimeError("a process of the loop failed")


def process(file: Path) -> None:
    """Run each in a process of its own, as a shell script or GNU parallel would."""
    from concurrent.futures import ThreadPoolExecutor

    def call(number: int) -> None:
        subprocess.run([sys.executable, short_stages.__file__, str(file), str(number)], check=True)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(call, range(len(short_stages.read(file)))))


def hydra(file: Path) -> None:
    """Run them as a Hydra multirun with its joblib launcher, of an environment of its own."""
    python = environments.environment("hydra", PEERS)
    task = file.parent / "task.py"
    task.write_text(HYDRA.format(here=str(Path(__file__).parent), file=str(file)))
    numbers = ",".join(str(number) for number in range(len(short_stages.read(file))))
    options = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={AT_A_TIME}", f"number={numbers}"]
    subprocess.run([python, str(task), "-m", *options], cwd=file.parent, check=True, stdout=subprocess.DEVNULL)


HYDRA = """
import sys
sys.path.insert(0, {here!r})
import hydra
@hydra.main(version_base=None, config_path=None)
def main(config):
    from pathlib import Path
    from support import short_stages
    short_stages.run(short_stages.read(Path({file!r}))[int(config.number)])
if __name__ == "__main__":
    sys.argv = [text.replace("number=", "+number=") if text.startswith("number=") else text for text in sys.argv]
    main()
"""


def trainer(file: Path) -> None:
    """Run them as Ray's guides show: a Tune trial each, in which a TorchTrainer trains."""
    from ray import train, tune
    from ray.train.torch import TorchTrainer

    from sweep.engine.ray_session import ray_session

    here, count = str(Path(__file__).parent), len(short_stages.read(file))

    def work(config: dict[str, Any]) -> None:
        sys.path.insert(0, here)
        from support import short_stages

        short_stages.run(short_stages.read(Path(config["file"]))[config["number"]])

    def trial(config: dict[str, Any]) -> None:
        scaling = train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1})
        storage = train.RunConfig(storage_path=str(file.parent / "train"), name=f"run-{config['number']}")
        TorchTrainer(work, train_loop_config=config, scaling_config=scaling, run_config=storage).fit()

    with ray_session(None):
        space = {"file": str(file), "number": tune.grid_search(list(range(count)))}
        # A driver that holds a CPU would leave none to its worker.
        resources = tune.with_resources(trial, {"CPU": 0, "GPU": 0, "node:__internal_head__": 0.001})
        config = tune.TuneConfig(max_concurrent_trials=AT_A_TIME)
        storage = tune.RunConfig(storage_path=str(file.parent / "tune"), verbose=0)
        tune.Tuner(resources, param_space=space, tune_config=config, run_config=storage).fit()


def timed(way: str, count: int) -> tuple[float, dict[str, float], str]:
    """Time one way of running stages, from nothing to the last result.

    Args:
        way: its name.
        count: stages.

    Returns:
        the seconds; the test score of each stage by key; what the way reports of itself.
    """
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        file = short_stages.write(Path(name), count)
        command = [sys.executable, __file__, "--file", str(file), "--way", way]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(short_stages.ROOT)}
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        scores = short_stages.scores(file)
        if done.returncode or len(scores) != count:
            raise SystemExit(f"{way}: {len(scores)} of {count} stages done\n{done.stderr[-3000:]}")
        return seconds, scores, done.stdout


def compare(ways: list[str], stages: int, few: int, rounds: int) -> None:
    """Time the ways in turn, in several rounds, and record them.

    Args:
        ways: their names.
        stages: how many each runs.
        few: stages of the slowest way, which has a loop of its own to be compared with.
        rounds: how often.
    """
    taken: dict[str, list[float]] = {}
    bits: dict[str, float] = {}

    def once(way: str, name: str, count: int) -> None:
        seconds, scores, _ = timed(way, count)
        taken.setdefault(name, []).append(seconds)
        environments.say(f"{name:12} {count} stages in {seconds:.1f} s")
        for key, score in scores.items():
            if bits.setdefault(key, score) != score:
                raise SystemExit(f"{name} ended with other bits than the others: {key}")

    for number in range(rounds):
        for way in ways if number % 2 == 0 else ways[::-1]:
            once(way, way, few if way == "trainer" else stages)
            if way == "trainer":
                once("loop", "loop of few", few)
    over = {}
    for way in ways:
        count, bare = (few, "loop of few") if way == "trainer" else (stages, "loop")
        over[way] = (statistics.median(taken[way]) - statistics.median(taken[bare])) / count
    lines = [
        bench.ResultLine(
            f"{over['engine']:.3f} s a stage", "bare loop of 2 processes", "0", over["engine"], 0.3, at_most=True
        )
    ]
    for way, (name, target) in NAMES.items():
        if way in over:
            ratio = over[way] / over["engine"]
            lines.append(bench.ResultLine(f"{over['engine']:.3f} s a stage", name, f"{over[way]:.3f} s", ratio, target))
    notes = [
        f"seconds over the bare loop, a stage: {stages} stages, {few} of a TorchTrainer a trial where there is one, {AT_A_TIME} at a time, "
        "from the start of the first process to the end of the last, Ray's own start and end included",
        *(f"{name}: {bench.spread(each, 's', 1)}" for name, each in taken.items()),
        "all ended with the same bits of the test score",
    ]
    versions = {name: environments.version_of(name) for name in ("ray",)} | dict(peer.split("==") for peer in PEERS)
    bench.record(f"overhead of a stage, {stages} short ones", lines, notes, versions)


NAMES = {
    "trainer": ("a TorchTrainer a trial", 30.0),
    "process": ("a process a cell", 5.0),
    "hydra": ("Hydra + joblib", 5.0),
}
"""Way -> what it is, and how many times our overhead it should have."""


def nothing(counts: list[int]) -> None:
    """Send stages through Ray Tune whose results are there: a trial finds that and ends."""
    lines = []
    for count in counts:
        seconds, gigabytes = seconds_of_nothing(count)
        shown = f"{count} stages: {seconds:.1f} s, driver {gigabytes:.2f} GB"
        lines.append(bench.ResultLine(shown, "seconds a stage", "", seconds / count, 0.3, at_most=True))
    bench.record("stages of no work through Ray Tune", lines, ["the results are there: a trial finds that and ends"])


def seconds_of_nothing(count: int) -> tuple[float, float]:
    """Return the seconds of so many stages of no work, from Tune's first question on, and the driver's peak in GB."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        file = short_stages.write(Path(name), count)
        from trainables.store.storage import Storage
        from trainables.store.study import Study

        orders = short_stages.read(file)
        study = Study(Storage(orders[0].study))
        for order in orders:
            study.folder(order.stage).begin(order.stage)
            study.folder(order.stage).commit({"key": order.stage.key, "metrics": {"test_f1_macro": 0.0}})
        command = [sys.executable, __file__, "--file", str(file), "--way", "engine"]
        environment = {**os.environ, "PYTHONPATH": str(short_stages.ROOT)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        seconds, peak = map(float, done.stdout.split()[-2:])
        return seconds, peak / 1e6


def main() -> None:
    """Measure, or be one of the measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=40)
    parser.add_argument("--few", type=int, default=8, help="stages of the peer that takes many seconds for each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--nothing", type=int, nargs="+", help="only this: so many stages of no work")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.share is not None:
        share(asked.file, asked.share)
    elif asked.way:
        {"loop": loop, "engine": engine, "process": process, "hydra": hydra, "trainer": trainer}[asked.way](asked.file)
    elif asked.nothing:
        nothing(asked.nothing)
    else:
        compare(asked.ways, asked.stages, asked.few, asked.rounds)


if __name__ == "__main__":
    main()
