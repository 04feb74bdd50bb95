"""Write the report: verify the study, make tables and figures, render the page."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.figures.drawing.figure import Figure
from analysis.figures.drawing.svg import as_file
from analysis.formats.latex import latex
from analysis.formats.markdown import markdown
from analysis.formats.table import Table
from analysis.page.heatmaps import gallery
from analysis.page.methods import split_proof
from analysis.page.page import render
from analysis.page.sections import Options, Tables, make_tables
from analysis.results.collect import LeftOut, collect
from trainables.store import layout
from trainables.store.selection import Selection
from trainables.store.storage import Storage
from trainables.store.study import Study


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
    choices: tuple[Selection, ...]

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
    into.write(layout.REPORT_PAGE, page.encode(errors="replace"))
    return Report(tables, into.path(layout.REPORT_PAGE), collected.left_out, collected.choices)


def _write(into: Storage, table: Table) -> None:
    for suffix, text in (("csv", table.to_csv()), ("md", markdown(table)), ("tex", latex(table))):
        into.write(f"{layout.REPORT_TABLES}/{table.name}.{suffix}", text.encode())


def _write_figure(into: Storage, figure: Figure, pdf: bool) -> None:
    into.write(f"{layout.REPORT_FIGURES}/{figure.name}.svg", as_file(figure.drawing))
    if pdf:
        from analysis.figures.drawing.pdf import as_pdf

        into.write(f"{layout.REPORT_FIGURES}/{figure.name}.pdf", as_pdf(figure.drawing))
