"""The installed command: a table of verbs, each run as ``python -m`` runs its module."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sweep.cli import VERBS, main, usage

ROOT = Path(__file__).parents[2]
SCRIPT = "import sys; from sweep.cli import main; sys.exit(main())"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_module_that_is_a_command_has_a_verb() -> None:
    commands = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for package in ("sweep", "trainables", "analysis")
        for file in [*(ROOT / package).glob("*.py"), *(ROOT / package).rglob("__main__.py")]
        if '\nif __name__ == "__main__":' in (text := file.read_text())
        and (
            file.name == "__main__.py" or "Sequence[str] | None = None) -> int:" in text
        )  # a child process takes no options
    }
    assert {verb.module for verb in VERBS.values()} == commands - {"sweep.cli"}


def test_the_console_script_is_this_function() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"scenario-sweep": f"{main.__module__}:{main.__name__}"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_what_python_runs_as_a_module(verb: str) -> None:
    by_verb = run("-c", SCRIPT, verb, "--help")
    by_module = run("-m", VERBS[verb].module, *VERBS[verb].arguments, "--help")
    assert (by_verb.returncode, by_verb.stdout, by_verb.stderr) == (0, by_module.stdout, "")
    assert by_verb.stdout.startswith(f"usage: python -m {VERBS[verb].module}")


def test_the_exit_status_and_the_arguments_are_passed_on(tmp_path: Path) -> None:
    done = run("-c", SCRIPT, "status", str(tmp_path / "no study"))
    assert done.returncode == 2
    assert "no study at" in done.stderr


def test_help_lists_every_verb_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +\S", shown, re.M) == list(VERBS)
    assert max(map(len, shown.splitlines())) <= 120


def test_no_verb_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == usage()


@pytest.mark.parametrize(("given", "near"), [("reprot", "; did you mean report?"), ("xyzzy", ".")])
def test_an_unknown_verb_is_refused_with_the_nearest(given: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([given, "studies/smoke"]) == 2
    assert capsys.readouterr().err == f"error: no verb {given}{near} scenario-sweep --help lists the verbs\n"


def test_nothing_heavy_is_imported_before_a_verb_is_known() -> None:
    done = run("-c", "import sys, sweep.cli; sys.stdout.write(' '.join(sys.modules))")
    heavy = {"analysis", "numpy", "pyarrow", "pydantic", "ray", "rich", "torch", "wandb", "yaml"}
    assert not heavy & set(done.stdout.split())


def test_the_module_is_the_command_too() -> None:
    done = run("-m", "sweep.cli", "statsu")
    assert done.returncode == 2
    assert "status" in done.stderr
