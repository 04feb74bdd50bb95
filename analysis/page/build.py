"""Write a report: verify the study, make its tables and figures, render the page."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.figures.drawing.figure import Figure
from analysis.figures.drawing.svg import as_file
from analysis.formats.files import table_files
from analysis.formats.table import Table
from analysis.page.heatmaps import gallery
from analysis.page.methods import split_proof
from analysis.page.page import render
from analysis.page.sections import ReportContent, make_content
from analysis.results.collect import LeftOut, collect
from analysis.stats.report_data import ReportData, ReportOptions
from trainables.store import layout
from trainables.store.selection import Selection
from trainables.store.storage import Storage
from trainables.store.study import Study

NO_OPTIONS = ReportOptions()


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        content: its tables, figures and findings.
        index_path: full path (or URI) of the page.
        left_out: the planned cells that do not count, with the reasons.
        choices: the candidates chosen on val.
    """

    content: ReportContent
    index_path: str
    left_out: tuple[LeftOut, ...]
    choices: tuple[Selection, ...]

    @property
    def scores(self) -> Table:
        """The table of scores: one row per architecture × scenario."""
        return self.content.table("scores")

    @property
    def per_class(self) -> Table:
        """The table of scores by class."""
        return self.content.table("per_class")


def build(study: Study, options: ReportOptions = NO_OPTIONS, pdf: bool = False, into: Storage | None = None) -> Report:
    """Verify a study and write ``report/``: the page, tables and figures.

    Args:
        study: finished or not.
        options: of the tables.
        pdf: whether to write the figures as PDF too, which imports matplotlib and takes some seconds.
        into: where to write; None: into the study.

    Raises:
        UserError: if the study has no readable ``study.json`` or ``plan.json``, or registered entries collide.
        OSError: if the report cannot be written.
    """
    collected = collect(study)
    explained = gallery(study, {cell.result.key for cell in collected.cells})
    content = make_content(ReportData(collected, options), [network.checks for network in explained.networks])
    into = study.storage if into is None else into
    for table in content.tables:
        for name, text in table_files(table):
            into.write(f"{layout.REPORT_TABLES}/{name}", text)
    for figure in content.figures:
        _write_figure(into, figure, pdf)
    page = render(collected, content, explained, split_proof(study, collected), pdf)
    # JSON strings may hold lone surrogates, which UTF-8 cannot encode.
    into.write(layout.REPORT_PAGE, page.encode(errors="replace"))
    return Report(content, into.path(layout.REPORT_PAGE), collected.left_out, collected.choices)


def _write_figure(into: Storage, figure: Figure, pdf: bool) -> None:
    into.write(f"{layout.REPORT_FIGURES}/{figure.name}.svg", as_file(figure.drawing))
    if pdf:
        from analysis.figures.drawing.pdf import as_pdf

        into.write(f"{layout.REPORT_FIGURES}/{figure.name}.pdf", as_pdf(figure.drawing))
