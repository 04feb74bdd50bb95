"""Compare two studies row by row: ``python -m analysis.compare STUDY_A STUDY_B``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import cli
from trainables.streams import steady_streams

if TYPE_CHECKING:
    from analysis.formats.table import Table
    from trainables.store.study import Study


@dataclass(frozen=True)
class CompareCommand:
    """Options of the command.

    Attributes:
        study_a: folder or URI; likewise ``study_b``.
        out: folder to write the tables to, or None.
    """

    study_a: str
    study_b: str
    out: Path | None


def side_by_side(first: Study, second: Study) -> tuple[Table, Table]:
    """Return the scores of two studies row by row, and the settings in which they differ.

    Args:
        first: study A.
        second: study B.

    Raises:
        UserError: if a study has no readable ``study.json`` or ``plan.json``.
    """
    from analysis.results.collect import collect
    from analysis.tables.study_comparison import differences_table, scores_side_by_side

    studies = collect(first), collect(second)
    return scores_side_by_side(*studies), differences_table(*studies)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), CompareCommand, _compare, arguments)


def _compare(options: CompareCommand) -> None:
    from analysis.formats.files import table_files
    from analysis.formats.markdown import plain_text
    from trainables.store.study import Study

    tables = side_by_side(Study.open(options.study_a), Study.open(options.study_b))
    for table in tables:
        cli.show(f"{table.title}\n{plain_text(table)}\n")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        for table in tables:
            for name, content in table_files(table):
                (options.out / name).write_bytes(content)
        cli.show(f"tables: {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("compare", "Set the scores of two studies side by side, and name what differs between them.")
    cli.add_study(parser, "study_a")
    cli.add_study(parser, "study_b")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the tables there too: .csv, .md, .tex")
    return parser


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())
