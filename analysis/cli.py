"""What the commands of this package share: they open studies, and end with status 2 on what a user must mend."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from analysis import terminal
from trainables.errors import UserError

Work = Callable[[argparse.Namespace], int | None]


def run(parser: argparse.ArgumentParser, work: Work, arguments: Sequence[str] | None) -> int:
    """Parse, work, and return the exit status: what ``work`` returns (0 for None), or 2 on a mistake of the user."""
    asked = parser.parse_args(arguments)
    try:
        return work(asked) or 0
    except UserError as error:
        terminal.complain(error.faults)
    except OSError as error:
        terminal.complain([f"cannot read or write: {error}. Check rights and free room"])
    return 2


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of ``python -m analysis.NAME``."""
    return argparse.ArgumentParser(prog=f"python -m analysis.{name}", description=description)


def add_study(command: argparse.ArgumentParser, name: str = "study") -> None:
    """Add a study as an argument by position."""
    command.add_argument(name, metavar=name.upper(), help="its folder, or its URI such as s3://bucket/studies/name")


def add_stage_or_row(command: argparse.ArgumentParser, row: str) -> None:
    """Add ``--stage`` and ``--row``, one of which must be given."""
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--stage", metavar="KEY", help="a stage: its key (6 characters or more) or name")
    which.add_argument("--row", metavar="ARCH,SCENARIO", help=row)
