"""One case of a fuzzer in a process of its own: how it ended, in what time and memory, and what it said."""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_SECONDS, KILLED_AFTER = 5.0, 20.0
"""What a case may take, seconds of its processor and by the clock until it is killed: other work on the machine is no fault."""
MOST_BYTES = 2 << 30
"""Memory that a case may use."""
STATUSES = (0, 2)
"""What a command may end with: done, or bad input."""

Case = Callable[[random.Random, Path], int]
"""Makes an input in an empty folder, runs a command on it, and returns its status. It raises AssertionError where the command
accepted the input and got something wrong."""


@dataclass(frozen=True)
class CaseEnd:
    """How a case ended.

    Attributes:
        status: of the process; negative: the signal that ended it.
        said: its output.
        seconds: of its processor.
        bytes: largest memory.
    """

    status: int
    said: str
    seconds: float
    bytes: int

    @property
    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        if self.status == -signal.SIGKILL:
            return f"hangs: killed after {KILLED_AFTER:g} s"
        if "Traceback (most recent call last)" in self.said:
            return "traceback: " + self.said.strip().splitlines()[-1][:200]
        if self.status not in STATUSES:
            return f"status {self.status}"
        if self.status == 2 and not self.said.strip():
            return "status 2 without a sentence"
        if self.seconds > MOST_SECONDS:
            return f"{self.seconds:.1f} s"
        return f"{self.bytes / 1e9:.1f} GB" if self.bytes > MOST_BYTES else ""


def run_case(case: Case, seed: str) -> CaseEnd:
    """Run a case in a forked process. What it imports should be imported here before: it is then not counted."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place, tempfile.TemporaryFile("w+b") as said:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _in_child(case, seed, Path(place), said.fileno())
        while True:
            ended, status, usage = os.wait4(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - started > KILLED_AFTER:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        said.seek(0)
        text = said.read().decode(errors="backslashreplace")
    seconds = usage.ru_utime + usage.ru_stime
    return CaseEnd(os.waitstatus_to_exitcode(status), text, seconds, usage.ru_maxrss * 1024)


def _in_child(case: Case, seed: str, place: Path, said: int) -> None:
    status = 70
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (open(stream, "w", errors="backslashreplace") for stream in (1, 2))  # noqa: SIM115 - not those of pytest
        os.chdir(place)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = case(random.Random(seed), place)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - it is what is looked for
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def fuzz(cases: Mapping[str, Case], seed: int, count: int, tell: Callable[[str], object]) -> int:
    """Run cases, each kind in turn.

    Args:
        cases: by kind.
        seed: each case's random numbers come from it, its kind and its number.
        count: of cases.
        tell: is told of each fault, and of the sum.

    Returns:
        The number of faults.
    """
    kinds, ends, faults = list(cases), Counter[str](), 0
    slowest, largest = 0.0, 0
    for number in range(count):
        kind = kinds[number % len(kinds)]
        end = run_case(cases[kind], f"{seed} {kind} {number}")
        ends["accepted" if end.status == 0 else "refused"] += 1
        slowest, largest = max(slowest, end.seconds), max(largest, end.bytes)
        if end.fault:
            faults += 1
            tell(f"{kind} {number}: {end.fault}\n{end.said[-1500:]}")
    tell(
        f"{count:,} cases of {len(kinds)} kinds, seed {seed}: {ends['accepted']:,} accepted, {ends['refused']:,} refused, "
        f"{faults} faults; the slowest {slowest:.1f} s, the largest {largest / 1e6:,.0f} MB"
    )
    return faults


def command(what: str, cases: Mapping[str, Case]) -> int:
    """Run the fuzzer of ``cases`` with the options of the command line; return its exit status."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--count", type=int, default=1000, help="cases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first random number (default: %(default)s)")
    parser.add_argument("--only", choices=sorted(cases), help="cases of one kind")
    parser.add_argument("--number", type=int, help="of --only: this case alone, with all it says")
    options = parser.parse_args()
    if options.number is not None:
        end = run_case(cases[options.only], f"{options.seed} {options.only} {options.number}")
        _print(f"{end.said}\n{end.fault or 'no fault'}\nstatus {end.status}")
        return bool(end.fault)
    chosen = {options.only: cases[options.only]} if options.only else cases
    return bool(fuzz(chosen, options.seed, options.count, _print))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
