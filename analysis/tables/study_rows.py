"""Tables whose rows are the architecture × scenario rows of the study: labels, footnotes, captions.

A row that lacks runs gets a footnote with the reasons; cells that should have run under the same conditions and did not
are reported in a footnote of the table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from string import ascii_lowercase

from analysis.formats.number_format import Value, rate_text
from analysis.formats.table import Column, Footnote, Row
from analysis.results.collect import Collected, LeftOut
from analysis.results.plan_file import PlannedStage
from analysis.stats.class_averages import RowScores
from analysis.stats.report_data import ReportData
from trainables.store.study import SELECTED_ON

LABELS = (Column("architecture", "Architecture"), Column("scenario", "Scenario", marked=True))
RUNS = Column("runs", "Runs", "count")
NAMED_CELLS = 4
"""Up to this many cells with the same reason are named one by one in a footnote."""
ALIKE = ("device", "precision", "world_size", "threads", "versions", "commit")
"""Environment entries that should be the same in all cells of a table."""

RowValues = Mapping[str, Value]


def study_rows(data: ReportData, values_of: Callable[[RowScores], Iterable[RowValues]]) -> tuple[Row, ...]:
    """Return table rows with the labels and footnote marks of their architecture × scenario.

    Args:
        data: of the report.
        values_of: returns for a row of the study the values of each of its table rows, without labels and ``runs``.
    """
    marks = {note.text: (note.mark,) for note in missing_runs(data.rows)}
    return tuple(
        Row({**labels(row), "runs": row.runs, **values}, marks.get(_missing(row), ()))
        for row in data.rows
        for values in values_of(row)
    )


def labels(row: RowScores) -> dict[str, Value]:
    """Return the values of the columns ``LABELS``."""
    return {"architecture": row.architecture, "scenario": row.scenario}


def study_notes(data: ReportData) -> tuple[Footnote, ...]:
    """Return the footnotes of a table of ``study_rows``: missing runs and mixed environments."""
    return (*missing_runs(data.rows), *mixed_environments(data.collected))


def missing_runs(rows: Sequence[RowScores]) -> tuple[Footnote, ...]:
    """Return a footnote, with its mark, for each different account of missing runs, in the order of the rows."""
    accounts = dict.fromkeys(account for row in rows if (account := _missing(row)))
    return tuple(Footnote(_letter(place), account) for place, account in enumerate(accounts))


def mixed_environments(collected: Collected) -> tuple[Footnote, ...]:
    """Return a footnote for each environment entry in which the chosen cells differ, with the counts of its values."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in collected.chosen:
        for entry in ALIKE:
            value = cell.result.environment.get(entry)
            for name, one in value.items() if isinstance(value, dict) else ((None, value),):
                found[entry if name is None else f"version of {name}"][str(one)] += 1
    return tuple(
        Footnote("", f"Mixed: the cells differ in {name.replace('_', ' ')}: {_counts(values)}.")
        for name, values in found.items()
        if len(values) > 1
    )


def score_caption(collected: Collected, text: str) -> str:
    """Return a caption that says what scores are computed from and how.

    Args:
        collected: the study.
        text: what the table shows.
    """
    return (
        f"Test parts of {collected.plan.target}, {len(collected.plan.classes)} classes, each scored one against "
        f"the rest in each run (fold × seed). {text} Averaging as in Glüge et al. 2024, supplement 1.1. Epoch and "
        f"learning rate were chosen on {SELECTED_ON}, never on test images. A dash: undefined."
    )


def _counts(values: Counter[str]) -> str:
    return ", ".join(f"{value} ({count} {'cell' if count == 1 else 'cells'})" for value, count in values.most_common())


def _letter(place: int) -> str:
    return ascii_lowercase[place % 26] * (place // 26 + 1)


def _missing(row: RowScores) -> str:
    """Return which runs a row lacks and why, or ""."""
    if not row.left_out:
        return ""
    reasons: dict[str, list[LeftOut]] = defaultdict(list)
    for left_out in row.left_out:
        reasons[left_out.reason].append(left_out)
    seeds = len({cell.seed for cell in row.planned}) > 1
    lacks = f"{row.runs} of {row.planned_runs} runs"
    if row.runs == row.planned_runs:
        lacks = f"all {row.runs} runs, but of some the rate was chosen from fewer"
    return f"{lacks}. " + ". ".join(f"{reason}: {_cells(cells, seeds)}" for reason, cells in reasons.items())


def _cells(left_out: Sequence[LeftOut], seeds: bool) -> str:
    if len(left_out) > NAMED_CELLS:
        return f"{len(left_out)} cells"
    return "; ".join(_cell(one.planned, seeds) for one in left_out)


def _cell(cell: PlannedStage, seeds: bool) -> str:
    parts = [f"fold {cell.fold}"]
    if cell.learning_rate is not None:
        parts.append(f"rate {rate_text(cell.learning_rate)}")
    return ", ".join([*parts, f"seed {cell.seed}"] if seeds else parts)
