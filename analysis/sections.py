"""All tables of a study, in the order of the page, under their headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.agreement_tables import confusion_table, f1_mcc_table
from analysis.average import RowScores, row_scores
from analysis.calibration_tables import calibration_table, reliability_table
from analysis.collect import Collected
from analysis.comparison_tables import comparisons_table, intervals_table, ranks_table
from analysis.comparisons import Comparer
from analysis.cost_table import cost_table
from analysis.grid_notes import Domain
from analysis.published_table import published_table
from analysis.questions import Answer, answers, limits
from analysis.rate_tables import rates_table, sources_table, used_rates
from analysis.score_tables import LEAST_SUPPORT, common_classes_table, per_class_table, runs_table, scores_table
from analysis.tables import Table


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
    """Tables under one heading, with what is said above them.

    Attributes:
        name: of its anchor in the page.
    """

    name: str
    heading: str
    tables: tuple[Table, ...]
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """All that was made of a study.

    Attributes:
        scores, per_class: the two that other programs read.
        answers: the questions, answered in sentences.
        sections: all tables, these two among them.
    """

    scores: Table
    per_class: Table
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]

    @property
    def all(self) -> tuple[Table, ...]:
        """Every table once."""
        return tuple(table for section in self.sections for table in section.tables)


def make_tables(collected: Collected, options: Options | None = None) -> Tables:
    """Make all tables and comparisons of a study."""
    chosen = options or Options()
    rows = row_scores(collected)
    comparer = Comparer(collected, rows)
    found = answers(comparer, chosen.domains)
    scores, per_class = scores_table(collected, rows), per_class_table(collected, rows)
    beside = (common_classes_table(collected, rows, chosen.least_support), published_table(collected))
    compared = (
        comparisons_table(collected, found),
        intervals_table(collected, comparer, rows),
        ranks_table(collected, comparer, rows),
    )
    said = tuple(f"{answer.question} {answer.sentence}" for answer in found)
    sections = (
        Section("answer", "Scores", (scores, *(table for table in beside if table is not None))),
        Section("comparisons", "Comparisons", compared, said, limits(collected)),
        *_others(collected, rows, per_class),
    )
    return Tables(scores, per_class, found, sections)


def _others(collected: Collected, rows: Sequence[RowScores], per_class: Table) -> tuple[Section, ...]:
    used = used_rates(collected)
    return (
        Section("classes", "Each class", (per_class, f1_mcc_table(collected, rows), confusion_table(collected, rows))),
        Section("calibration", "Calibration", (calibration_table(collected, rows), reliability_table(collected, rows))),
        Section("rates", "Learning rates", (rates_table(collected, used), sources_table(collected, used))),
        Section("cost", "Cost", (cost_table(collected),)),
        Section("runs", "Runs", (runs_table(collected, rows),)),
    )
