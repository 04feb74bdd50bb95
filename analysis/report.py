"""From a study folder to tables and a report page: ``python -m analysis.report STUDY``.

Modules that need numpy or pyarrow are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis import cli, terminal
from trainables.errors import UserError

if TYPE_CHECKING:
    from analysis.page.build import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    from analysis.page.build import build
    from analysis.page.sections import Options
    from trainables.store.study import Study

    if asked.min_support is not None and asked.min_support < 0:
        raise UserError(f"--min-support {asked.min_support}: a number of images, 0 or more")
    options = Options() if asked.min_support is None else Options(least_support=asked.min_support)
    _show(build(Study.open(asked.study), options, asked.pdf))


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("report", "Verify what a study has, and write its tables and report page, finished or not.")
    cli.add_study(parser)
    parser.add_argument(
        "--min-support",
        type=int,
        metavar="N",
        help="classes of fewer images than N are rare, and left out of a table of its own (50)",
    )
    parser.add_argument("--pdf", action="store_true", help="write each figure as PDF too, beside the SVG")
    return parser


def _show(report: Report) -> None:
    from analysis.formats.markdown import plain_text

    terminal.show(plain_text(report.scores))
    for answer in report.tables.answers:
        terminal.show(f"{answer.question} {answer.sentence}")
    if report.left_out:
        terminal.show(f"{len(report.left_out)} planned cells do not count: the report says why.")
    terminal.show(f"report: {report.index_path}")


if __name__ == "__main__":
    sys.exit(main())
