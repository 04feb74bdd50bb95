"""The real command line, where nothing is to be run: help, speed, and that torch and Ray are never waited for."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweep.support.command_line import TABLES, Run

IMPORTED = """
import sys
from sweep.run import main
try:
    status = main(sys.argv[1:])
except SystemExit as error:
    status = error.code
heavy = {"torch", "torchvision", "timm", "ray", "wandb", "sklearn", "jinja2", "pandas"}
print(status, *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--help",), 0),
        (("--grid", "paper", "--plan"), 0),
        (("--grid", "grid.yaml", "--plan"), 0),
        (("--grid", "paper"), 2),
        (("--grid", "smoke", "--set", "folds=1"), 2),
        (("--grid", "grid.yaml", "--cell", "nosuch"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_nothing_heavy_is_imported(
    there: Path, bare_environment: dict[str, str], arguments: tuple[str, ...], status: int
) -> None:
    call = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(call, cwd=there, env=bare_environment, capture_output=True, text=True, timeout=60)
    shown, *imported = done.stderr.splitlines()[-1].split()
    assert shown == str(status)
    if "grid.yaml" in arguments:  # pyarrow imports pandas where data are prepared and divided
        imported = [name for name in imported if name != "pandas"]
    assert not imported


def quickest(run: Run, *arguments: str) -> float:
    """Processor seconds of the quickest of three calls: the machine has other things to do meanwhile."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        before = spent()
        assert run(*arguments).returncode == 0
        return spent() - before

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(("--help",), 1.0), (("--grid", "full_study", "--plan"), 4.0)],  # wanted: 0.5 and 2 s on an idle machine
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_looking_is_quick(run: Run, arguments: tuple[str, ...], seconds: float) -> None:
    assert quickest(run, *arguments) < seconds


def test_help_says_what_there_is(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "--grid",
        "--plan",
        "--json",
        "--set",
        "--study",
        "--storage",
        "--data",
        "--weights",
        "--cell",
        *TABLES,
    ):
        assert word in done.stdout
    assert "exit status" in done.stdout
