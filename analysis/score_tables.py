"""The two score tables: one row per architecture × scenario, and the same class by class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from string import ascii_lowercase

from analysis.average import RowScores, rate_text
from analysis.collect import Collected, LeftOut
from analysis.planned import PlannedStage
from analysis.shown import Value
from analysis.tables import Column, Footnote, Row, Table
from trainables.scores import MEASURES
from trainables.study import SELECTED_ON

HEADINGS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "mcc": "MCC"}
NAMED_CELLS = 4
"""Up to so many cells of one reason are named one by one in a footnote."""

_LABELS = (Column("architecture", "Architecture"), Column("scenario", "Scenario", noted=True))
_MEASURES = tuple(
    Column(f"{measure}_mean", HEADINGS[measure], "score", std_key=f"{measure}_std", best=True) for measure in MEASURES
)


def scores_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the answer table: class-averaged scores of each architecture × scenario."""
    marks = _marks(rows)
    return Table(
        name="scores",
        title="Scores",
        columns=(
            *_LABELS,
            Column("runs", "Runs", "count"),
            Column("learning_rate", "Learning rate"),
            *_MEASURES,
            Column("f1_macro_std", "SD of macro F1", "score"),
        ),
        rows=tuple(Row(_score_values(row), _marks_of(row, marks)) for row in rows),
        caption=_caption(
            collected,
            "Shown is mean ± SD: mean and standard deviation (ddof = 1) over the runs are taken of each class, then "
            "the unweighted mean over the classes of both. So ± is not the SD of the macro score, which stands in "
            f"the last column. {_runs(rows)}",
        ),
        footnotes=(*_gaps(rows, marks), *_zeros(rows)),
    )


def per_class_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the scores of each class of each architecture × scenario."""
    marks = _marks(rows)
    return Table(
        name="per_class",
        title="Scores of each class",
        columns=(
            *_LABELS,
            Column("class", "Class"),
            Column("support", "Support", "count"),
            *_plain_measures(),
        ),
        rows=tuple(
            Row(values, _marks_of(row, marks)) for row in rows for values in _class_values(row, collected.plan.classes)
        ),
        caption=_caption(
            collected,
            "Shown is mean ± SD (ddof = 1) over the runs. Support: test images of the class over the folds that count.",
        ),
        footnotes=(*_gaps(rows, marks), *_zeros(rows)),
    )


def _plain_measures() -> tuple[Column, ...]:
    # A highest value over classes and rows together would answer no question: none is marked.
    return tuple(Column(c.key, c.heading, c.kind, c.std_key) for c in _MEASURES)


def _caption(collected: Collected, what: str) -> str:
    return (
        f"Test parts of {collected.plan.target}, {len(collected.plan.classes)} classes, each scored one against "
        f"the rest in each run (fold × seed). {what} Averaging as in Glüge et al. 2024, supplement 1.1. Epoch and "
        f"learning rate were chosen on {SELECTED_ON}, never on test images. A dash: undefined."
    )


def _runs(rows: Sequence[RowScores]) -> str:
    planned = sorted({row.planned_runs for row in rows})
    return f"Runs: how many count of the {' or '.join(map(str, planned))} planned." if planned else ""


def _score_values(row: RowScores) -> dict[str, Value]:
    values: dict[str, Value] = {
        "architecture": row.architecture,
        "scenario": row.scenario,
        "runs": row.runs,
        "learning_rate": row.learning_rate,
        "f1_macro_std": row.macro_std("f1"),
    }
    for measure in MEASURES:
        values |= {f"{measure}_mean": row.mean(measure), f"{measure}_std": row.std(measure)}
    return values


def _class_values(row: RowScores, classes: Sequence[str]) -> list[dict[str, Value]]:
    columns: dict[str, Sequence[Value]] = {"class": classes, "support": row.support.tolist()}
    for measure in MEASURES:
        for key, values in (("mean", row.class_means(measure)), ("std", row.class_stds(measure))):
            columns[f"{measure}_{key}"] = [None] * len(classes) if values is None else values.tolist()
    labels: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario}
    return [labels | {key: column[i] for key, column in columns.items()} for i in range(len(classes))]


def _marks(rows: Sequence[RowScores]) -> dict[str, str]:
    """Return a letter for each different account of a gap, in the order of the rows."""
    accounts = dict.fromkeys(account for row in rows if (account := _account(row)))
    return {account: _letter(place) for place, account in enumerate(accounts)}


def _letter(place: int) -> str:
    return ascii_lowercase[place % 26] * (place // 26 + 1)


def _marks_of(row: RowScores, marks: dict[str, str]) -> tuple[str, ...]:
    return tuple(marks[account] for account in (_account(row),) if account)


def _gaps(rows: Sequence[RowScores], marks: dict[str, str]) -> list[Footnote]:
    return [Footnote(mark, account) for account, mark in marks.items()]


def _account(row: RowScores) -> str:
    """Say what a row lacks and why, or return ""."""
    if not row.left_out:
        return ""
    reasons: dict[str, list[LeftOut]] = defaultdict(list)
    for out in row.left_out:
        reasons[out.reason].append(out)
    seeds = len({cell.seed for cell in row.planned}) > 1
    lacks = f"{row.runs} of {row.planned_runs} runs"
    if row.runs == row.planned_runs:
        lacks = f"all {row.runs} runs, but of some the rate was chosen from fewer"
    return f"{lacks}. " + ". ".join(f"{reason}: {_where(outs, seeds)}" for reason, outs in reasons.items())


def _where(outs: Sequence[LeftOut], seeds: bool) -> str:
    if len(outs) > NAMED_CELLS:
        return f"{len(outs)} cells"
    return "; ".join(_place(out.planned, seeds) for out in outs)


def _place(cell: PlannedStage, seeds: bool) -> str:
    parts = [f"fold {cell.fold}"]
    if cell.learning_rate is not None:
        parts.append(f"rate {rate_text(cell.learning_rate)}")
    return ", ".join([*parts, f"seed {cell.seed}"] if seeds else parts)


def _zeros(rows: Sequence[RowScores]) -> list[Footnote]:
    counts = [(row, *row.undefined) for row in rows]
    total = sum(of for _, _, of in counts)
    if not total:
        return []
    zeros = sum(found for _, found, _ in counts)
    text = f"{zeros} of {total} ratios (measure × class × run) were 0/0 and count as 0"
    where = [f"{row.architecture}, {row.scenario}: {found} of {of}" for row, found, of in counts if found]
    return [Footnote("", f"{text} ({'; '.join(where)})." if where else f"{text}.")]
