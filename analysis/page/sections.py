"""The sections of the page, with the tables and figures that are registered for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from analysis.figures.drawing.figure import Figure, distinct
from analysis.figures.registry import FIGURES, FigureSet
from analysis.formats.number_format import value_text
from analysis.formats.table import Footnote, Table
from analysis.registry.report_entry import ReportEntry
from analysis.stats.class_averages import RowScores
from analysis.stats.findings import Finding, limits
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from trainables.errors import UserError, suggestion
from trainables.registry import Registry

HEADINGS = {
    "answer": "Scores",
    "comparisons": "Comparisons",
    "classes": "Each class",
    "curves": "Learning curves",
    "rates": "Learning rates",
    "confusion": "Confusion matrices",
    "calibration": "Calibration",
    "explanations": "Explanations",
    "cost": "Cost",
    "runs": "Where each figure came from",
}
"""Section -> heading, in the order of the page."""
MADE: dict[str, tuple[type, ...]] = {TABLES.kind: (Table, type(None)), FIGURES.kind: (FigureSet,)}
Made = TypeVar("Made")


@dataclass(frozen=True)
class Section:
    """Tables and figures under a heading.

    Attributes:
        name: its anchor in the page.
        heading: its heading.
        tables: in the order of the page; likewise ``figures``.
        sentences: summary above them.
        notes: limits, or reasons why figures are missing.
        notes_heading: heading of the notes.
    """

    name: str
    heading: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    notes_heading: str = "Not drawn"


@dataclass(frozen=True)
class ReportContent:
    """All tables, figures and findings of a report.

    Attributes:
        sections: in the order of the page.
        findings: the research questions with their answers.
        checks: tables on the explanations, which the page shows beside their figures.
        faults: entries of other distributions that were left out, with the reasons.
    """

    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]
    checks: tuple[Table, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in the order of the page."""
        checks = {"explanations": self.checks}
        return tuple(table for section in self.sections for table in (*checks.get(section.name, ()), *section.tables))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in the order of the page."""
        return tuple(figure for section in self.sections for figure in section.figures)

    def table(self, name: str) -> Table:
        """Return the table of a name that every report has."""
        return next(table for table in self.tables if table.name == name)


@dataclass(frozen=True)
class _Part(Generic[Made]):
    """What a registered entry made of a study.

    Attributes:
        origin: distribution and version of the entry; "" for a built-in.
    """

    name: str
    entry: ReportEntry[ReportData, Any]
    made: Made
    origin: str = ""

    @property
    def credit(self) -> str:
        """The distribution that the entry comes from, as a sentence; "" for a built-in."""
        return f"From {self.origin}, not part of this package." if self.origin else ""


def make_content(data: ReportData, checks: Sequence[Table] = ()) -> ReportContent:
    """Make all registered tables and figures of a study.

    Args:
        data: of the study.
        checks: tables of the section on explanations.

    Raises:
        UserError: if two entries have the same name.
    """
    faults: list[str] = []
    tables = [(part.entry.section, _named(part)) for part in _parts(TABLES, data, faults) if part.made is not None]
    sets = _parts(FIGURES, data, faults)
    figures = _distinct_figures(sets)
    missing = [(part.entry.section, reason) for part in sets for reason in part.made.missing]
    sections = (
        Section(name, heading, _of(tables, name), _of(figures, name), notes=_of(missing, name))
        for name, heading in HEADINGS.items()
    )
    return ReportContent(tuple(_summarised(one, data) for one in sections), data.findings, tuple(checks), tuple(faults))


def highest_mean(rows: Sequence[RowScores]) -> str:
    """Return a sentence that names the row of the highest mean F1, as a description."""
    ranked = sorted((row for row in rows if row.runs), key=lambda row: row.mean("f1") or 0.0, reverse=True)
    if not ranked:
        return "No cell counts yet: there is no score to show."
    first = ranked[0]
    mean, std = value_text(first.mean("f1"), "score"), value_text(first.std("f1"), "score")
    runs = f"{first.runs} of {first.planned_runs} runs" if first.runs < first.planned_runs else f"{first.runs} runs"
    return (
        f"The highest mean F1 is {mean} ± {std}: {first.title} ({runs}). "
        "That describes these runs; whether it differs from the next is asked below."
    )


def _of(items: Sequence[tuple[str, Made]], section: str) -> tuple[Made, ...]:
    return tuple(item for name, item in items if name == section)


def _summarised(section: Section, data: ReportData) -> Section:
    """Return a section with the sentences, notes and heading that depend on its content."""
    if section.name == "answer":
        return replace(section, sentences=(highest_mean(data.rows),))
    if section.name == "comparisons":
        notes = (*limits(data.collected), *section.notes)
        return replace(section, notes=notes, notes_heading="Known limits")
    if section.name == "curves" and not section.figures:
        return replace(section, sentences=("No learning curve can be drawn yet.",))
    if section.name == "rates" and (section.figures or section.notes):
        return replace(section, heading="Learning rates and range tests")
    return section


def _parts(registry: Registry[ReportEntry[ReportData, Made]], data: ReportData, faults: list[str]) -> list[_Part[Made]]:
    """Return what each entry makes, by place and name. A fault of another distribution must not cost the report."""
    parts = [_part(registry.kind, name, entry, data) for name, entry in registry.own().items()]
    for name in registry.published():
        whose = name
        try:
            origin = registry.origin(name)  # refuses a name of the project's own, or of two distributions
            whose = f"{name} of {origin}"
            parts.append(replace(_part(registry.kind, name, registry[name], data), origin=origin))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - from outside, anything may come
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            faults.append(f"{registry.kind}: {whose} is left out: {text}")
    return sorted(parts, key=lambda part: (part.entry.place, part.name))


def _part(kind: str, name: str, entry: ReportEntry[ReportData, Made], data: ReportData) -> _Part[Made]:
    if not isinstance(entry, ReportEntry):
        raise UserError(
            f"expected a function with the decorator analysis.registry.report_entry.report_entry, found {entry!r}"
        )
    if entry.section not in HEADINGS:
        hint = suggestion(entry.section, HEADINGS) or "."
        raise UserError(f"the page has no section {entry.section}{hint} There are {', '.join(HEADINGS)}")
    made = entry.make(data)
    expected = MADE[kind]
    if not isinstance(made, expected):
        raise UserError(f"expected {expected[0].__name__}, found {type(made).__name__}")
    return _Part(name, entry, made)


def _named(part: _Part[Any]) -> Table:
    """Return the table with the name of its entry, and its origin as a footnote."""
    note = (Footnote("", part.credit),) if part.credit else ()
    table: Table = part.made
    return replace(table, name=part.name, footnotes=(*table.footnotes, *note))


def _distinct_figures(sets: Sequence[_Part[FigureSet]]) -> list[tuple[str, Figure]]:
    """Return section and figure, in the order of ``sets``. Built-ins keep their file names, whatever else is installed."""
    drawn = [(one, _credited(figure, one.credit)) for one in sets for figure in one.made.figures]
    built_ins_first = sorted(range(len(drawn)), key=lambda place: bool(drawn[place][0].origin))
    figures = dict(zip(built_ins_first, distinct(drawn[place][1] for place in built_ins_first), strict=True))
    return [(one.entry.section, figures[place]) for place, (one, _) in enumerate(drawn)]


def _credited(figure: Figure, credit: str) -> Figure:
    return replace(figure, caption=f"{figure.caption} {credit}".strip()) if credit else figure
