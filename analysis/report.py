"""From a study folder to tables and a report page: ``python -m analysis.report STUDY``.

Modules that need numpy or pyarrow are imported where they are used, so that ``--help`` is at once there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis import terminal
from trainables.errors import UserError

if TYPE_CHECKING:
    from analysis.collect import LeftOut
    from analysis.tables import Table
    from trainables.selection import Choice
    from trainables.study import Study

INDEX = "report/index.html"
TABLES = "report/tables"


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        scores: one row per architecture × scenario.
        per_class: the same, class by class.
        index_path: full path (or URI) of the page.
        left_out: the planned cells that do not count, each with its reason.
        choices: the rates chosen on val, with the candidates.
    """

    scores: Table
    per_class: Table
    index_path: str
    left_out: tuple[LeftOut, ...]
    choices: tuple[Choice, ...]


def build(study: Study) -> Report:
    """Verify what the study has, and write ``report/`` into it.

    Raises:
        UserError: if the folder has no readable ``study.json`` or ``plan.json``.
        OSError: if the report cannot be written.
    """
    from analysis.average import row_scores
    from analysis.collect import collect
    from analysis.page import render
    from analysis.score_tables import per_class_table, scores_table

    collected = collect(study)
    rows = row_scores(collected)
    scores, per_class = scores_table(collected, rows), per_class_table(collected, rows)
    for table in (scores, per_class):
        _write(study, table)
    study.storage.write(INDEX, render(collected, scores, per_class).encode())
    return Report(scores, per_class, study.storage.path(INDEX), collected.left_out, collected.choices)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 where the user must mend something."""
    location = _parser().parse_args(arguments).study
    from trainables.study import Study

    try:
        report = build(Study.open(location))
    except UserError as error:
        terminal.complain(error.faults)
        return 2
    except OSError as error:
        terminal.complain([f"cannot read or write {location}: {error}. Check rights and free room"])
        return 2
    _show(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report",
        description="Verify what a study has, and write its tables and report page, finished or not.",
    )
    parser.add_argument("study", metavar="STUDY", help="its folder, or its URI such as s3://bucket/studies/name")
    return parser


def _write(study: Study, table: Table) -> None:
    for suffix, text in (("csv", table.to_csv()), ("md", table.to_markdown()), ("tex", table.to_latex())):
        study.storage.write(f"{TABLES}/{table.name}.{suffix}", text.encode())


def _show(report: Report) -> None:
    from analysis.markdown import plain_text

    terminal.show(plain_text(report.scores))
    if report.left_out:
        terminal.show(f"{len(report.left_out)} planned cells do not count: the report says why.")
    terminal.show(f"report: {report.index_path}")


if __name__ == "__main__":
    sys.exit(main())
