"""Whole studies under fire: processes killed, signals sent, files spoilt at random moments, until the study is done.

By hand, for as long as one likes: ``python tests/sweep/faults.py --studies 20 --seed 7``. Every study must end with
the results of an undisturbed one, and with no finished stage done twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tiny_grid import tiny_grid

ROOT = Path(__file__).parents[2]
GRID = tiny_grid(images=12, pretrain_epochs=12, finetune_epochs=12)


@dataclass
class Study:
    """A study in a folder of its own, run by the real command."""

    folder: Path
    committed: dict[str, tuple[str, int]] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    drivers: int = 0

    def __post_init__(self) -> None:
        (self.folder / "tiny.yaml").write_text(GRID)

    @property
    def stages(self) -> Path:
        return self.folder / "studies/tiny/stages"

    def start(self) -> subprocess.Popen[str]:
        self.drivers += 1
        return subprocess.Popen(
            [sys.executable, "-m", "sweep.run", "--grid", "tiny.yaml"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=(self.folder / "driver.log").open("a"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    def watch(self) -> None:
        """Note what is committed; a result that changes afterwards was done twice."""
        for file in self.stages.glob("*/result.json"):
            try:
                result = json.loads(file.read_text())
            except (OSError, ValueError):
                continue  # spoilt or taken back: it does not count as done
            run = (str(result["environment"]["process"]), hash(file.read_bytes()))
            before = self.committed.setdefault(file.parent.name, run)
            if before != run and file.parent.name not in self.excused:
                raise AssertionError(f"{file.parent.name} was done twice")
            self.committed[file.parent.name] = run

    def outcome(self) -> dict[str, object]:
        """What must be alike of a disturbed and an undisturbed study."""
        found = {}
        for file in self.stages.glob("*/result.json"):
            result = json.loads(file.read_text())
            digests = {name: result["digests"].get(name) for name in ("weights.safetensors", "predictions.parquet")}
            found[file.parent.name] = {"digests": digests, "metrics": result["metrics"]}
        scores = self.folder / "studies/tiny/report/tables/scores.csv"
        return {"stages": found, "scores": scores.read_text()}


def family(driver: subprocess.Popen[str], name: str) -> list[psutil.Process]:
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
        return [child for child in children if name in " ".join(child.cmdline())]
    except psutil.Error:
        return []


Fault = Callable[[Study, subprocess.Popen[str], random.Random], None]


def kill_driver(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> None:
    driver.kill()


def kill_trial(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> None:
    trials = family(driver, "StageTrial")
    if trials:
        rng.choice(trials).kill()


def kill_raylet(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> None:
    for process in family(driver, "raylet/raylet")[:1]:
        process.kill()


def interrupt(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> None:
    driver.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))


def spoil(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> None:
    """Flip a byte of a committed prediction file, or tear a result: the stage is to be done again."""
    done = sorted(study.stages.glob("finetune-*/result.json"))
    if not done:
        return
    result = rng.choice(done)
    study.excused.add(result.parent.name)
    if rng.random() < 0.5:
        result.write_text(result.read_text()[:40])
        return
    file = result.parent / "predictions.parquet"
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1
    file.write_bytes(bytes(content))


FAULTS: dict[str, Fault] = {
    "driver killed": kill_driver,
    "trial killed": kill_trial,
    "raylet killed": kill_raylet,
    "interrupted": interrupt,
    "file spoilt": spoil,
}


def disturb(study: Study, rng: random.Random, faults: int, names: list[str], patience: float = 240) -> Counter[str]:
    """Run a study to its end, with so many faults on the way; return how many of each there were."""
    done: Counter[str] = Counter()
    until = time.monotonic() + patience
    driver = study.start()
    next_fault = time.monotonic() + rng.uniform(1, 8)
    while time.monotonic() < until:
        study.watch()
        status = driver.poll()
        if status == 0:
            break
        if status is not None:
            driver = study.start()
            next_fault = time.monotonic() + rng.uniform(1, 8)
        elif done.total() < faults and time.monotonic() > next_fault:
            name = rng.choice(names)
            FAULTS[name](study, driver, rng)
            done[name] += 1
            next_fault = time.monotonic() + rng.uniform(0.3, 4)
        time.sleep(0.1)
    else:
        driver.kill()
        raise AssertionError(
            f"not done after {patience} s and {done}: {(study.folder / 'driver.log').read_text()[-3000:]}"
        )
    study.watch()
    return done


def undisturbed(folder: Path) -> dict[str, object]:
    study = Study(folder)
    assert study.start().wait(timeout=240) == 0, (folder / "driver.log").read_text()
    return study.outcome()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--faults", type=int, default=6, help="in each study")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        (reference := Path(scratch, "undisturbed")).mkdir()
        expected = undisturbed(reference)
        for number in range(arguments.studies):
            (folder := Path(scratch, f"study {number}")).mkdir()
            study = Study(folder)
            total += disturb(study, rng, arguments.faults, list(FAULTS))
            assert study.outcome() == expected, f"study {number} ended with other results"
            sys.stdout.write(
                f"study {number}: {study.drivers} drivers, faults so far {dict(total)}, results identical\n"
            )
            sys.stdout.flush()
    sys.stdout.write(f"{arguments.studies} studies, {total.total()} faults: nothing lost, nothing done twice\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
