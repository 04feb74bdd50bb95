"""What all commands share: help without heavy imports, and the exit status."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path

import pytest

from analysis import cli
from trainables.errors import UserError

ROOT = Path(__file__).parents[2]
COMMANDS = ("report", "ask", "compare", "trace", "predict", "gradcam", "export", "bundle")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code = (
        f"import sys; from analysis.{name} import _parser; _parser().format_help(); "
        "print([name for name in ('numpy', 'pyarrow', 'torch', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_options_have_a_field_for_each_argument(name: str) -> None:
    module = import_module(f"analysis.{name}")
    arguments = {action.dest for action in module._parser()._actions} - {"help"}
    assert arguments == {field.name for field in fields(getattr(module, f"{name.capitalize()}Command"))}


@dataclass(frozen=True)
class Options:
    number: int


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (None, 0, ""),
        (1, 1, ""),
        (UserError(["first", "second"]), 2, "error: first\nerror: second\n"),
        (OSError("disk full"), 2, "error: cannot read or write: disk full. Check rights and free room\n"),
    ],
)
def test_the_exit_status(
    outcome: Exception | int | None, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(options: Options) -> int | None:
        assert options == Options(3)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    parser = ArgumentParser()
    parser.add_argument("number", type=int)
    assert cli.run(parser, Options, command, ["3"]) == status
    assert capsys.readouterr().err == message


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli.show("class \x1b[31mred\r\x9b2J \u202eltr ±\n\tsecond line")
    cli.complain(["\x1b]0;title\x07"])
    said = capsys.readouterr()
    assert said.out == "class \\x1b[31mred\\r\\x9b2J \\u202eltr ±\n\tsecond line\n"
    assert said.err == "error: \\x1b]0;title\\x07\n"
