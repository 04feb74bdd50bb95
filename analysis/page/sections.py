"""All tables and figures of a study, in the order of the page, under their headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.figures.drawing.figure import Figure
from analysis.figures.score_figures import class_figure, confusion_figures, difference_figures, reliability_figures
from analysis.figures.training_figures import curve_figures, range_figures
from analysis.formats.number_format import value_text
from analysis.formats.table import Table
from analysis.results.collect import Collected
from analysis.results.grid_file import Domain
from analysis.stats.class_averages import RowScores, row_scores
from analysis.stats.comparisons import Comparer
from analysis.stats.findings import Finding, answers, limits
from analysis.tables.calibration import calibration_table, reliability_table
from analysis.tables.comparisons import comparisons_table, intervals_table, ranks_table
from analysis.tables.confusion import confusion_table, f1_mcc_table
from analysis.tables.cost import cost_table
from analysis.tables.learning_rates import rates_table, sources_table, used_rates
from analysis.tables.published import published_table
from analysis.tables.scores import LEAST_SUPPORT, common_classes_table, per_class_table, runs_table, scores_table


@dataclass(frozen=True)
class Options:
    """What a user may choose about the tables.

    Attributes:
        least_support: images of a class below which it counts as rare.
        domains: data set -> ``in`` or ``out`` of the target's domain, before what grid and names say.
    """

    least_support: int = LEAST_SUPPORT
    domains: dict[str, Domain] | None = None


@dataclass(frozen=True)
class Section:
    """Figures and tables under one heading, with what is said above them.

    Attributes:
        name: of its anchor in the page.
        sentences: what it comes to.
        notes: what its figures rest on, or why some are missing; ``noted`` says which of it.
    """

    name: str
    heading: str
    tables: tuple[Table, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    noted: str = ""
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Tables:
    """All that was made of a study's cells.

    Attributes:
        scores, per_class: the two that other programs read.
        answers: the questions, answered in sentences.
        sections: all tables, these two among them.
    """

    scores: Table
    per_class: Table
    answers: tuple[Finding, ...]
    sections: tuple[Section, ...]

    @property
    def all(self) -> tuple[Table, ...]:
        """Every table once."""
        return tuple(table for section in self.sections for table in section.tables)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure once."""
        return tuple(figure for section in self.sections for figure in section.figures)


def make_tables(collected: Collected, options: Options | None = None, checks: Sequence[Table] = ()) -> Tables:
    """Make all tables, comparisons and figures of a study.

    Args:
        collected: what counts.
        options: what a user may choose.
        checks: the tables that stand beside the explanations.
    """
    chosen = options or Options()
    rows = row_scores(collected)
    comparer = Comparer(collected, rows)
    found = answers(comparer, chosen.domains)
    scores, per_class = scores_table(collected, rows), per_class_table(collected, rows)
    beside = (common_classes_table(collected, rows, chosen.least_support), published_table(collected))
    sections = (
        Section("answer", "Scores", (scores, *(table for table in beside if table is not None)), best(rows)),
        _compared(collected, comparer, found),
        *_by_class(collected, rows, per_class),
        *_trained(collected),
        *_agreement(collected, rows),
        Section("explanations", "Explanations", tuple(checks)),
        Section("cost", "Cost", (cost_table(collected),)),
        Section("runs", "Where each figure came from", (runs_table(collected, rows),)),
    )
    return Tables(scores, per_class, found, sections)


def best(rows: Sequence[RowScores]) -> tuple[str, ...]:
    """Name the row of the highest mean F1, as a description."""
    ranked = sorted((row for row in rows if row.runs), key=lambda row: row.mean("f1") or 0.0, reverse=True)
    if not ranked:
        return ("No cell counts yet: there is no score to show.",)
    first = ranked[0]
    mean, std = value_text(first.mean("f1"), "score"), value_text(first.std("f1"), "score")
    runs = f"{first.runs} of {first.planned_runs} runs" if first.runs < first.planned_runs else f"{first.runs} runs"
    return (
        f"The highest mean F1 is {mean} ± {std}: {first.architecture}, {first.scenario} ({runs}). "
        "That describes these runs; whether it differs from the next is asked below.",
    )


def _compared(collected: Collected, comparer: Comparer, found: tuple[Finding, ...]) -> Section:
    rows = comparer.rows
    tables = (
        comparisons_table(collected, found),
        intervals_table(collected, comparer, rows),
        ranks_table(collected, comparer, rows),
    )
    return Section(
        "comparisons",
        "Comparisons",
        tables,
        notes=limits(collected),
        noted="Known limits",
        figures=difference_figures(found),
    )


def _by_class(collected: Collected, rows: Sequence[RowScores], per_class: Table) -> tuple[Section, ...]:
    tables = (per_class, f1_mcc_table(collected, rows))
    return (Section("classes", "Each class", tables, figures=class_figure(collected, rows)),)


def _trained(collected: Collected) -> tuple[Section, ...]:
    curves, undrawn_curves = curve_figures(collected)
    tests, undrawn_tests = range_figures(collected)
    used = used_rates(collected)
    tables = (rates_table(collected, used), sources_table(collected, used))
    noted = "Not drawn"
    said = () if curves else ("No learning curve can be drawn yet.",)
    heading = "Learning rates and range tests" if tests or undrawn_tests else "Learning rates"
    return (
        Section("curves", "Learning curves", (), said, undrawn_curves, noted, curves),
        Section("rates", heading, tables, (), undrawn_tests, noted, tests),
    )


def _agreement(collected: Collected, rows: Sequence[RowScores]) -> tuple[Section, ...]:
    calibrated = (calibration_table(collected, rows), reliability_table(collected, rows))
    return (
        Section(
            "confusion",
            "Confusion matrices",
            (confusion_table(collected, rows),),
            figures=confusion_figures(collected, rows),
        ),
        Section("calibration", "Calibration", calibrated, figures=reliability_figures(rows)),
    )
