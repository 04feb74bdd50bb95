"""Whole studies under fire: processes killed, signals sent, files spoilt at random moments, until the study is done.

By hand, for as long as one likes: ``python -m tests.sweep.faults --studies 20 --seed 7``. Every study must end with
the results of an undisturbed one, with no finished stage done twice, no traceback and no process left. Only faults that
struck are counted: not a trial to be killed where none was. A study is told by the seed and its number: ``--first 4
--studies 1`` does the fifth again.
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.sweep.support.processes import TRIAL, family
from tests.sweep.support.tiny_grid import tiny_grid

ROOT = Path(__file__).parents[2]
GRID = tiny_grid(images=12, pretrain_epochs=12, finetune_epochs=12)


@dataclass
class Study:
    """A study in a folder of its own, run by the real command."""

    folder: Path
    committed: dict[str, tuple[str, int]] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    drivers: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        (self.folder / "tiny.yaml").write_text(GRID)

    @property
    def stages(self) -> Path:
        return self.folder / "studies/tiny/stages"

    @property
    def said(self) -> str:
        return (self.folder / "driver.log").read_text()

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

    def left_over(self) -> list[str]:
        """The processes of this study that are there still."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()) == self.folder:
                    found.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
        return found


Fault = Callable[[Study, subprocess.Popen[str], random.Random], bool]
"""Does its harm; says whether there was anything to be harmed."""


def kill_driver(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    driver.kill()
    return True


def kill_one(driver: subprocess.Popen[str], rng: random.Random, *names: str) -> bool:
    """Kill one of the driver's processes of these names, if there is one that lives."""
    if there := family(driver.pid, *names):
        with suppress(psutil.Error):
            rng.choice(there).kill()
            return True
    return False


def kill_trial(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    return kill_one(driver, rng, *TRIAL)


def kill_raylet(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    return kill_one(driver, rng, "raylet/raylet")


def kill_gcs(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    """Kill what Ray keeps a cluster's state in: it ends the driver itself, after a minute."""
    return kill_one(driver, rng, "gcs/gcs_server")


def interrupt(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    driver.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
    return True


def spoil(study: Study, driver: subprocess.Popen[str], rng: random.Random) -> bool:
    """Flip a byte of a committed prediction file, or tear a result: the stage is to be done again."""
    done = sorted(study.stages.glob("finetune-*/result.json"))
    if not done:
        return False
    result = rng.choice(done)
    study.excused.add(result.parent.name)
    if rng.random() < 0.5:
        result.write_text(result.read_text()[:40])
        return True
    file = result.parent / "predictions.parquet"
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1
    file.write_bytes(bytes(content))
    return True


FAULTS: dict[str, Fault] = {
    "driver killed": kill_driver,
    "trial killed": kill_trial,
    "raylet killed": kill_raylet,
    "GCS killed": kill_gcs,
    "interrupted": interrupt,
    "file spoilt": spoil,
}


ENDS = {
    -signal.SIGKILL: "killed",
    -signal.SIGINT: "SIGINT as it starts or ends",  # for a shell 130 and 143 as well
    -signal.SIGTERM: "SIGTERM as it starts or ends",
    1: "a stage failed, or the GCS was killed",
    4: "Ray is gone",
    130: "SIGINT",
    143: "SIGTERM",
}
"""How a driver may end so that it is started again, by its status."""


EARLY = 0.3
"""Share of the drivers that are struck while they may still be starting; the others once a trial process is there."""


def disturb(
    study: Study, rng: random.Random, faults: int, names: list[str], patience: float = 240, pause: float = 4
) -> Counter[str]:
    """Run a study to its end, with so many faults on the way; return how many of each struck.

    Args:
        patience: seconds, after the last fault, in which it must come to its end.
        pause: seconds between two faults, at most. Short ones strike what starts, long ones what has come further.
    """
    done: Counter[str] = Counter()
    driver, early = study.start(), rng.random() < EARLY
    until, next_fault = time.monotonic() + patience, time.monotonic() + rng.uniform(1, 5)
    while (status := driver.poll()) != 0:
        study.watch()
        if time.monotonic() > until:
            driver.kill()
            raise AssertionError(f"not done {patience} s after {done}: {study.said[-3000:]}")
        if status is not None:
            assert status in ENDS, f"status {status} after {done}: {study.said[-3000:]}"
            study.statuses[status] += 1
            driver, early = study.start(), rng.random() < EARLY
            next_fault = time.monotonic() + rng.uniform(1, 5)
        elif done.total() < faults and time.monotonic() > next_fault and (early or family(driver.pid, *TRIAL)):
            name = rng.choice(names)
            struck = FAULTS[name](study, driver, rng)
            if struck:
                done[name] += 1
                until = time.monotonic() + patience
            next_fault = time.monotonic() + (rng.uniform(0.3, pause) if struck else 0.2)
        time.sleep(0.1)
    study.watch()
    assert "Traceback" not in study.said, study.said
    until = time.monotonic() + 120  # an agent of Ray whose GCS is gone asks for it for a minute before it ends
    while left := study.left_over():
        assert time.monotonic() < until, f"left over: {left}"
        time.sleep(0.2)
    return done


def to_the_end(study: Study, patience: float = 240) -> None:
    """Run a study until it is done: on a machine that is too busy Ray may not start at once."""
    for _ in range(3):
        status = study.start().wait(timeout=patience)
        if status != 4:
            break
    assert status == 0, study.said


def undisturbed(folder: Path, patience: float = 240) -> dict[str, object]:
    study = Study(folder)
    to_the_end(study, patience)
    return study.outcome()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    parser.add_argument("--faults", type=int, default=6, help="in each study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=240, help="seconds for a study after its last fault")
    parser.add_argument("--pause", type=float, default=4, help="seconds between two faults, at most")
    parser.add_argument(
        "--expected", type=Path, help="JSON file: what an undisturbed study gives; made where it is not there"
    )
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.expected and arguments.expected.exists():
            expected = json.loads(arguments.expected.read_text())
        else:
            (reference := Path(scratch, "undisturbed")).mkdir()
            expected = undisturbed(reference, arguments.patience)
            if arguments.expected:
                arguments.expected.write_text(json.dumps(expected))
        for number in range(arguments.first, arguments.first + arguments.studies):
            (folder := Path(scratch, f"study {number}")).mkdir()
            study = Study(folder)
            rng = random.Random(f"{arguments.seed}/{number}")
            struck = disturb(study, rng, arguments.faults, list(FAULTS), arguments.patience, arguments.pause)
            assert study.outcome() == expected, f"study {number} ended with other results"
            ends = {ENDS[status]: count for status, count in study.statuses.items()}
            sys.stdout.write(
                f"study {number}: {dict(struck)}, {study.drivers} drivers (ends: {ends}), results identical\n"
            )
            sys.stdout.flush()
            total += struck
    sys.stdout.write(
        f"{arguments.studies} studies, {total.total()} faults {dict(total)}: nothing lost, nothing done twice\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
