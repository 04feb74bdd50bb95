"""From a study folder to tables and a report page: ``python -m analysis.report STUDY``.

Modules that need numpy or pyarrow are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import cli, terminal
from trainables.errors import UserError

if TYPE_CHECKING:
    from analysis.collect import LeftOut
    from analysis.figures.figure import Figure
    from analysis.sections import Options, Tables
    from analysis.tables import Table
    from trainables.selection import Choice
    from trainables.storage import Storage
    from trainables.study import Study

INDEX = "report/index.html"
TABLES = "report/tables"
FIGURES = "report/figures"


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        tables: all of them, the figures, and the questions answered in sentences.
        index_path: full path (or URI) of the page.
        left_out: the planned cells that do not count, each with its reason.
        choices: the rates chosen on val, with the candidates.
    """

    tables: Tables
    index_path: str
    left_out: tuple[LeftOut, ...]
    choices: tuple[Choice, ...]

    @property
    def scores(self) -> Table:
        """One row per architecture × scenario."""
        return self.tables.scores

    @property
    def per_class(self) -> Table:
        """The same, class by class."""
        return self.tables.per_class


def build(study: Study, options: Options | None = None, pdf: bool = False, into: Storage | None = None) -> Report:
    """Verify what the study has, and write ``report/`` into it.

    Args:
        study: finished or not.
        options: what may be chosen about the tables.
        pdf: whether to write the figures as PDF too, which takes matplotlib and some seconds.
        into: where ``report/`` is written instead of the study.

    Raises:
        UserError: if the folder has no readable ``study.json`` or ``plan.json``.
        OSError: if the report cannot be written.
    """
    from analysis.collect import collect
    from analysis.methods import split_proof
    from analysis.page import render
    from analysis.pictures import gallery
    from analysis.sections import make_tables

    collected = collect(study)
    explained = gallery(study, {cell.result.key for cell in collected.cells})
    tables = make_tables(collected, options, [network.checks for network in explained.networks])
    into = study.storage if into is None else into
    for table in tables.all:
        _write(into, table)
    for figure in tables.figures:
        _write_figure(into, figure, pdf)
    page = render(collected, tables, explained, split_proof(study, collected), pdf)
    # JSON may hold halves of a letter, which UTF-8 cannot.
    into.write(INDEX, page.encode(errors="replace"))
    return Report(tables, into.path(INDEX), collected.left_out, collected.choices)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    return cli.run(_parser(), _work, arguments)


def _work(asked: argparse.Namespace) -> None:
    from analysis.sections import Options
    from trainables.study import Study

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


def _write(into: Storage, table: Table) -> None:
    for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
        into.write(f"{TABLES}/{table.name}.{suffix}", text.encode())


def _write_figure(into: Storage, figure: Figure, pdf: bool) -> None:
    from analysis.figures.svg import as_file

    into.write(f"{FIGURES}/{figure.name}.svg", as_file(figure.drawing))
    if pdf:
        from analysis.figures.pdf import as_pdf

        into.write(f"{FIGURES}/{figure.name}.pdf", as_pdf(figure.drawing))


def _show(report: Report) -> None:
    from analysis.markdown import plain_text

    terminal.show(plain_text(report.scores))
    for answer in report.tables.answers:
        terminal.show(f"{answer.question} {answer.sentence}")
    if report.left_out:
        terminal.show(f"{len(report.left_out)} planned cells do not count: the report says why.")
    terminal.show(f"report: {report.index_path}")


if __name__ == "__main__":
    sys.exit(main())
