"""Run a study with the lowest and the highest version of Ray that pyproject.toml allows, each in an environment of its own.

By hand, e.g. before a bound is changed: ``python -m tests.sweep.versions --ray lowest highest``. For each version a virtual
environment is made with the packages of constraints.txt, but for Ray. In it the grid is run, then the tests of the private
parts of dependencies (``tests/*/compat``) and those given by ``--tests``. ``--reuse`` takes every other package from the
environment of this interpreter, and installs Ray alone: minutes and gigabytes less.

Exit status: 0 if every version passed, else 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPAT = ("tests/sweep/compat", "tests/trainables/compat")


@dataclass(frozen=True)
class Outcome:
    """What became of one version; ``failed`` is the step that failed, or empty."""

    version: str
    failed: str
    seconds: float

    def __str__(self) -> str:
        """Return a line of the report."""
        return f"ray {self.version}: {f'FAILED at {self.failed}' if self.failed else 'passed'} ({self.seconds:.0f} s)"


class StepError(Exception):
    """A step failed; its output is on the terminal."""


def bounds() -> tuple[str, str]:
    """Return the lower and upper bound of Ray in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (found,) = [match for line in project["dependencies"] if (match := re.fullmatch(r"ray\[.*\]>=(.+),<(.+)", line))]
    return found[1], found[2]


def requirement(version: str) -> str:
    """Return what pip is asked for: ``lowest``, ``highest`` or a version."""
    lowest, limit = bounds()
    exact = {"lowest": f"=={lowest}", "highest": f">={lowest},<{limit}"}.get(version, f"=={version}")
    return f"ray[train,tune]{exact}"


def run(step: str, *command: str | Path, **environment: str) -> None:
    """Run a command in the project's folder, with its output on the terminal.

    Raises:
        StepError: if it fails.
    """
    sys.stdout.write(f"\n== {step}: {' '.join(map(str, command))}\n")
    sys.stdout.flush()
    if subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False).returncode:
        raise StepError(step)


def install(folder: Path, version: str, reuse: bool) -> Path:
    """Make an environment with a version of Ray; return its interpreter."""
    venv.create(folder, symlinks=True, with_pip=True)
    python = folder / "bin" / "python"
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(line for line in lines if not line.startswith("ray==")))
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--upgrade",
        "-c",
        constraints,
    ]
    if reuse:
        own = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        # At the end of sys.path: what is installed in the new environment goes first.
        Path(own.strip(), "reused.pth").write_text(sysconfig.get_path("purelib"))
        run("install", *pip, requirement(version))
    else:
        run("install", *pip, "-e", f"{ROOT}[test]", requirement(version))
    return python


def attempt(version: str, arguments: argparse.Namespace) -> Outcome:
    """Try one version."""
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="sweep-versions-"))
    found, failed = version, ""
    try:
        python = install(folder / "venv", version, arguments.reuse)
        ask = "from importlib.metadata import version; print(version('ray'))"
        found = subprocess.check_output([python, "-c", ask], text=True).strip()
        study = ["--grid", arguments.grid, "--storage", folder / "studies", "--wandb", "off"]
        run(f"ray {found}, study", python, "-m", "sweep.run", *study, PYTHONPATH=str(ROOT))
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *COMPAT, *arguments.tests]
        run(f"ray {found}, tests", *tests, PYTHONPATH=str(ROOT))
    except StepError as error:
        failed = str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(found, failed, time.perf_counter() - started)


def main(argv: Sequence[str] | None = None) -> int:
    """Try all versions; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sweep.versions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ray", nargs="+", default=["lowest", "highest"], metavar="VERSION")
    parser.add_argument("--grid", default="smoke", metavar="NAME|FILE")
    parser.add_argument("--reuse", action="store_true", help="take all but Ray from this interpreter's environment")
    parser.add_argument(
        "--tests", nargs="*", default=[], metavar="PATH", help="further tests to run, slow ones included"
    )
    arguments = parser.parse_args(argv)
    outcomes = [attempt(version, arguments) for version in arguments.ray]
    sys.stdout.write("\n" + "".join(f"{outcome}\n" for outcome in outcomes))
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
