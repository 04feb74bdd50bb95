"""A module run in a process of its own, which may take its time, fail or die without harm to the one that asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import NamedTuple


class ChildAnswer(NamedTuple):
    """What came of a child process.

    Attributes:
        output: what it wrote to standard output.
        complaint: the last line of its standard error; empty if there is none.
        status: its exit status; negative: the signal that ended it.
        timed_out: whether it was ended because it took too long.
    """

    output: str
    complaint: str
    status: int
    timed_out: bool


def run_child(module: str, request: str, seconds: float) -> ChildAnswer:
    """Run a module, with the import paths of this process; end whatever it leaves behind.

    Args:
        module: its full name.
        request: is its standard input.
        seconds: after which it is ended.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # Files, because a process that the module leaves behind would hold a pipe open.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as asked,
        tempfile.TemporaryFile("w+", encoding="utf-8") as answer,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
    ):
        asked.write(request)
        asked.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=asked,
            stdout=answer,
            stderr=complaints,
            env=environment,
            start_new_session=True,
        )
        timed_out = False
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _end_group(child)
        answer.seek(0)
        complaints.seek(0)
        return ChildAnswer(
            answer.read(), (complaints.read().strip().splitlines() or [""])[-1], child.returncode, timed_out
        )


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
