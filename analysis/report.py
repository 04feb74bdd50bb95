"""From a study folder to tables and a report page: ``python -m analysis.report STUDY``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import cli
from trainables.errors import UserError
from trainables.streams import steady_streams


@dataclass(frozen=True)
class ReportCommand:
    """Options of the command.

    Attributes:
        study: folder or URI.
        min_support: classes with fewer images count as rare; None: the default.
        pdf: whether to write figures as PDF too.
    """

    study: str
    min_support: int | None
    pdf: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 on bad input."""
    return cli.run(_parser(), ReportCommand, _report, arguments)


def _report(options: ReportCommand) -> None:
    from analysis.formats.markdown import plain_text
    from analysis.page.build import build
    from analysis.stats.report_data import ReportOptions
    from trainables.store.study import Study

    least = options.min_support
    if least is not None and least < 0:
        raise UserError(f"--min-support {least}: a number of images, 0 or more")
    report_options = ReportOptions() if least is None else ReportOptions(least_support=least)
    report = build(Study.open(options.study), report_options, options.pdf)
    cli.show(plain_text(report.scores))
    for finding in report.content.findings:
        cli.show(f"{finding.question} {finding.sentence}")
    if report.left_out:
        cli.show(f"{len(report.left_out)} planned cells do not count: the report says why.")
    cli.complain(report.content.faults)
    cli.show(f"report: {report.index_path}")


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


if __name__ == "__main__":
    steady_streams()
    sys.exit(main())
