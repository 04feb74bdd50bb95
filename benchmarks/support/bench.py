"""What all benchmarks share: environments for the peers, turns, and the table of results.

A benchmark is one script. Called by a person it makes the peers' environments, starts every contestant as a process
of its own (itself, with ``--as NAME``), lets them take turns, and writes its lines of ``RESULTS.md``. A contestant
prepares, warms up, and then does one round whenever it is asked: so all meet the same moods of the machine, none
computes while another is measured, and no import or first step is counted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import site
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE.parent / "RESULTS.md"
CACHE = Path(os.environ.get("SCENARIO_SWEEP_CACHE", Path.home() / ".cache" / "scenario-sweep")) / "benchmarks"
OURS = Path(sys.executable)
PEERS = ("lightning==2.6.6", "webdataset==1.0.2", "litdata==0.2.76")
TURN_SECONDS = 600

Answer = dict[str, Any]
"""What a contestant says of one round: ``figure`` (what is compared), and whatever shows that the work was the same."""


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that has the requirements, made where it is not there yet.

    It sees the packages of the running interpreter, which are not changed: torch is the same and installed once.
    """
    folder = CACHE / name
    python, mark = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join([*requirements, *site.getsitepackages()]) + "\n"
    if mark.is_file() and mark.read_text() == wanted:
        return python
    say(f"making an environment for {name}: {', '.join(requirements)}")
    venv.create(folder, with_pip=True, clear=True)
    own = next((folder / "lib").glob("python*")) / "site-packages"
    (own / "running.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    mark.write_text(wanted)
    return python


def peers() -> Path:
    """Return the interpreter of the environment that has PEERS."""
    return environment("peers", PEERS)


class Contestant:
    """A process that does a round when asked. Use as a context: it ends with it."""

    def __init__(self, name: str, python: Path, script: Path, arguments: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, script, "--as", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def turn(self, asked: str = "go") -> Answer:
        """Do one round. Raises RuntimeError where the process ended instead."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError(f"{self.name} has no pipes")
        stdin.write(asked + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended without an answer: what it said stands above")
        answer: Answer = json.loads(line)
        return answer


class Door:
    """Where a contestant waits for its turns. Made first: all that is printed goes to stderr from then on."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> str:
        """Return what is asked next; nothing at the end."""
        return sys.stdin.readline().strip()

    def answer(self, answer: Answer) -> None:
        """Say what came out."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def take_turns(door: Door, turn: Callable[[str], Answer]) -> None:
    """Be a contestant: answer whatever is asked with what ``turn`` returns."""
    while asked := door.wait():
        door.answer(turn(asked))


def contest(
    script: str | Path,
    pythons: Mapping[str, Path],
    arguments: Sequence[str],
    asked: argparse.Namespace,
    every: Mapping[str, int] | None = None,
) -> dict[str, list[Answer]]:
    """Let the contestants take turns; return the answers of each, one a round.

    Every contestant does a round first that does not count. The order turns round from round to round. No round begins
    once the minutes that were asked for are over, but one is always done. ``every``: who takes part in every so many
    rounds only, as where the answer is far from close, and slow to come.
    """
    every = every or {}
    started = time.monotonic()
    names = list(pythons)
    taken: dict[str, list[Answer]] = {name: [] for name in names}
    contestants = {name: Contestant(name, pythons[name], Path(script).resolve(), arguments) for name in names}
    try:
        for name in names:
            say(f"{name:24} ready: {_shown(contestants[name].turn())}")
        for number in range(asked.rounds):
            if number and time.monotonic() - started > 60 * asked.minutes:
                break
            for name in names if number % 2 == 0 else names[::-1]:
                if number % every.get(name, 1):
                    continue
                taken[name].append(contestants[name].turn())
                say(f"{name:24} round {number + 1}: {_shown(taken[name][-1])}")
    finally:
        for one in contestants.values():
            one.__exit__()
    return taken


def figures(answers: Sequence[Answer], name: str = "figure") -> list[float]:
    """Return one figure of each round."""
    return [float(answer[name]) for answer in answers]


def middle(answers: Sequence[Answer], name: str = "figure") -> float:
    """Return the median over the rounds."""
    return statistics.median(figures(answers, name))


def same(taken: Mapping[str, Sequence[Answer]], name: str, tolerance: float = 0.0) -> str:
    """Check that all contestants say the same of their work, within a relative tolerance; return it in words.

    Raises:
        SystemExit: where they differ: then the figures mean nothing.
    """
    said = {who: [answer[name] for answer in answers] for who, answers in taken.items()}
    values = [value for each in said.values() for value in each]
    alike = all(value == values[0] for value in values)
    if not alike and tolerance and all(isinstance(value, int | float) for value in values):
        alike = max(values) - min(values) <= tolerance * max(abs(value) for value in values)
    if not alike:
        raise SystemExit(f"the contestants did not do the same work: {name} is {said}")
    within = f" within {tolerance:.0%}" if tolerance else ""
    return f"{name} alike{within} ({values[0] if not isinstance(values[0], float) else f'{values[0]:.4g}'})"


@dataclass(frozen=True)
class ResultLine:
    """One comparison of a benchmark: with a peer, a limit, or a fixed bound.

    Attributes:
        ours, theirs: as shown, with units; ``theirs`` is empty for a fixed bound.
        against: whom or what.
        value: what is held against the target: a ratio, or seconds where the bound is fixed.
        target: at least so much; at most, if ``at_most``.
    """

    ours: str
    against: str
    theirs: str
    value: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> str:
        """``yes``, or by how much it is missed."""
        if (self.value <= self.target) if self.at_most else (self.value >= self.target):
            return "yes"
        return f"missed by {abs(1 - self.value / self.target):.0%}"

    @property
    def cells(self) -> list[str]:
        """What stands in the table, without the first column."""
        sign = "≤" if self.at_most else "≥"
        return [self.ours, self.against, self.theirs, f"{self.value:.3g}", f"{sign} {self.target:.3g}", self.met]


def spread(values: Sequence[float], unit: str = "", digits: int = 0) -> str:
    """Return the median and the range of some rounds in words."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f}){' ' + unit if unit else ''}"


def record(
    what: str,
    lines: Sequence[ResultLine],
    notes: Sequence[str],
    versions: Mapping[str, str] | None = None,
    file: Path = RESULTS,
) -> None:
    """Write, or write anew, what a benchmark found: its lines of the table, and a section with how it came about.

    Args:
        what: names the benchmark; what stood under this name before is replaced.
        lines: the comparisons.
        notes: sentences: rounds and spread, what was checked to be the same, why a target was missed.
        versions: of the peers; those of the machine and torch are added.
        file: where.
    """
    for line in lines:
        say(f"{what}: " + " | ".join(line.cells))
    for note in notes:
        say(f"  {note}")
    table, sections = _read(file)
    table = [row for row in table if row[0] != what] + [[what, *line.cells] for line in lines]
    known = {"python": platform.python_version(), "torch": version_of("torch"), **(versions or {})}
    body = [
        f"- `{command()}`, {time.strftime('%Y-%m-%d')}",
        f"- {machine()}; " + ", ".join(f"{name} {version}" for name, version in known.items()),
        *(f"- {note}" for note in notes),
    ]
    sections[what] = "\n".join(body)
    file.write_text(_document(table, sections), encoding="utf-8")


HEAD = ["what", "ours", "against", "theirs", "ratio or value", "target", "met"]
PREFACE = """# Results

Written by the scripts beside it, each of which replaces its own part. Ratios are ours over theirs, more is better,
measured in one run on one machine; ranges are over rounds in which all took turns. Absolute figures hold for the machine
named only.
"""


def _document(table: Sequence[Sequence[str]], sections: Mapping[str, str]) -> str:
    rows = [HEAD, ["---"] * len(HEAD), *sorted(table, key=lambda row: row[0])]
    shown = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return PREFACE + "\n" + shown + "\n" + "".join(f"\n## {what}\n\n{sections[what]}\n" for what in sorted(sections))


def _read(file: Path) -> tuple[list[list[str]], dict[str, str]]:
    """Return the rows of the table and the sections of a file of results, nothing where there is none."""
    if not file.is_file():
        return [], {}
    top, *parts = file.read_text(encoding="utf-8").split("\n## ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in top.splitlines() if line.startswith("|")]
    sections = dict(part.split("\n", 1) for part in parts)
    return rows[2:], {what: body.strip() for what, body in sections.items()}


def command() -> str:
    """Return the command that runs, as one would type it."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def machine() -> str:
    """Return the processor, the cores this process may use and the memory, in words."""
    cpu, memory = platform.processor(), ""
    if Path("/proc/cpuinfo").is_file():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{cores()} cores of {cpu}{memory}"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def peer_versions(*names: str) -> dict[str, str]:
    """Return the versions of some of PEERS."""
    known = dict(peer.split("==") for peer in PEERS)
    return {name: known[name] for name in names}


def version_of(name: str) -> str:
    """Return the version of an installed package, without importing it."""
    from importlib.metadata import version

    return version(name)


def arguments_of(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark understands; a script adds its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no round begins; default: none")
    parser.add_argument("--data", type=Path, help="folder with bone_marrow/; without it, generated images serve")
    parser.add_argument("--as", dest="contestant", help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help="seconds, no peers, nothing recorded: does it run at all?")
    return parser


def say(text: str) -> None:
    """Write a line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _shown(answer: Answer) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in answer.items()
    )
