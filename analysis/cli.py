"""What the commands of this package share: terminal output, parsing into typed options, and the exit status.

A command imports NumPy, pyarrow or torch where it uses them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from trainables.errors import UserError
from trainables.streams import harmless

Options = TypeVar("Options")
BAD_INPUT = 2


def show(text: str) -> None:
    """Write a line or more to standard output, without control characters: names of images and classes may hold any."""
    sys.stdout.write(f"{harmless(text)}\n")


def complain(faults: Iterable[str]) -> None:
    """Write each fault to standard error."""
    for fault in faults:
        sys.stderr.write(f"error: {harmless(fault)}\n")


def run(
    parser: argparse.ArgumentParser,
    options: Callable[..., Options],
    command: Callable[[Options], int | None],
    arguments: Sequence[str] | None,
) -> int:
    """Parse the command line, run the command, and return its exit status.

    Args:
        parser: of the command.
        options: a dataclass with a field for each argument of the parser.
        command: runs it; returns its exit status, None for 0.
        arguments: of the command line; None: those of this process.

    Returns:
        the exit status: 2 on bad input.
    """
    given = parser.parse_args(arguments)
    try:
        return command(options(**vars(given))) or 0
    except UserError as error:
        complain(error.faults)
    except OSError as error:
        complain([f"cannot read or write: {error}. Check rights and free room"])
    return BAD_INPUT


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        name: of its module.
        description: shown by ``--help``.
    """
    return argparse.ArgumentParser(prog=f"python -m analysis.{name}", description=description)


def add_study(command: argparse.ArgumentParser, name: str = "study") -> None:
    """Add a positional argument for a study.

    Args:
        command: the parser.
        name: of the argument.
    """
    command.add_argument(name, metavar=name.upper(), help="its folder, or its URI such as s3://bucket/studies/name")


def add_allow_code(command: argparse.ArgumentParser) -> None:
    """Add ``--allow-code``.

    Args:
        command: the parser.
    """
    command.add_argument(
        "--allow-code",
        action="store_true",
        help="let the study choose code: networks that neither torchvision nor timm knows by name, and plug-ins",
    )


def add_stage_or_row(command: argparse.ArgumentParser, row: str) -> None:
    """Add ``--stage`` and ``--row``, one of which must be given.

    Args:
        command: the parser.
        row: help of ``--row``.
    """
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--stage", metavar="KEY", help="a stage: its key (6 characters or more) or name")
    which.add_argument("--row", metavar="ARCH,SCENARIO", help=row)
