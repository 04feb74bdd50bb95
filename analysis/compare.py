"""Two studies side by side: ``python -m analysis.compare STUDY_A STUDY_B``.

Modules that need numpy or pyarrow are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import cli, terminal
from analysis.formats.latex import latex
from analysis.formats.markdown import markdown

if TYPE_CHECKING:
    from analysis.formats.table import Table
    from trainables.store.study import Study


def side_by_side(first: Study, second: Study) -> tuple[Table, ...]:
    """Return the scores of both studies row by row, and in what they differ.

    Raises:
        UserError: if a study has no readable ``study.json`` or ``plan.json``.
    """
    from analysis.results.collect import collect
    from analysis.tables.study_comparison import differences_table, scores_side_by_side

    found = collect(first), collect(second)
    return scores_side_by_side(*found), differences_table(*found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    from analysis.formats.markdown import plain_text
    from trainables.store.study import Study

    tables = side_by_side(Study.open(asked.study_a), Study.open(asked.study_b))
    for table in tables:
        terminal.show(f"{table.title}\n{plain_text(table)}\n")
    if asked.out is not None:
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
        for table in tables:
            for suffix, text in (("csv", table.to_csv()), ("md", markdown(table)), ("tex", latex(table))):
                (out / f"{table.name}.{suffix}").write_text(text, encoding="utf-8")
        terminal.show(f"tables: {out}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("compare", "Set the scores of two studies side by side, and name what differs between them.")
    cli.add_study(parser, "study_a")
    cli.add_study(parser, "study_b")
    parser.add_argument("--out", metavar="DIR", help="write the tables there too: .csv, .md, .tex")
    return parser


if __name__ == "__main__":
    sys.exit(main())
