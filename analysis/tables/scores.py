"""The score tables: one row per architecture × scenario, the same without rare classes, class by class, run by run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.results.collect import Collected
from analysis.stats.class_averages import RowScores
from analysis.tables.footnotes import MissingRunNotes, mixed_of
from trainables.store.study import SELECTED_ON
from trainables.training.metrics import MEASURES

HEADINGS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "mcc": "MCC"}
LEAST_SUPPORT = 50
"""Images of a class, over all folds, below which it counts as rare: with five folds, ten test images a fold."""

LABELS = (Column("architecture", "Architecture"), Column("scenario", "Scenario", noted=True))
RUNS = Column("runs", "Runs", "count")
_MEASURES = tuple(
    Column(f"{measure}_mean", HEADINGS[measure], "score", std_key=f"{measure}_std", best=True) for measure in MEASURES
)
_MEAN_OF_SDS = (
    "Shown is mean ± SD: mean and standard deviation (ddof = 1) over the runs are taken of each class, then "
    "the unweighted mean over the classes of both. So ± is not the SD of the macro score, which stands in "
    "the last column."
)


def scores_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the answer table: class-averaged scores of each architecture × scenario."""
    gaps = MissingRunNotes.of(rows)
    return Table(
        name="scores",
        title="Scores",
        columns=(
            *LABELS,
            RUNS,
            Column("learning_rate", "Learning rate"),
            *_MEASURES,
            Column("f1_macro_std", "SD of macro F1", "score"),
        ),
        rows=tuple(Row(_score_values(row, None), gaps.marks(row)) for row in rows),
        caption=caption(collected, f"{_MEAN_OF_SDS} {_runs(rows)}"),
        footnotes=(*gaps.notes, *_zeros(rows), *mixed_of(collected)),
    )


def common_classes_table(collected: Collected, rows: Sequence[RowScores], least: int = LEAST_SUPPORT) -> Table | None:
    """Return the scores without the classes of fewer than ``least`` images; None where there is none, or nothing else."""
    images = np.bincount(collected.split.labels, minlength=len(collected.plan.classes))
    keep = images >= least
    if keep.all() or not keep.any():
        return None
    gaps = MissingRunNotes.of(rows)
    named = zip(collected.plan.classes, images.tolist(), keep.tolist(), strict=True)
    rare = ", ".join(f"{name} ({count})" for name, count, kept in named if not kept)
    what = (
        f"Without the classes of fewer than {least} images: {rare}. One image of such a class moves a macro score much."
    )
    return Table(
        name="scores_common_classes",
        title="Scores without rare classes",
        columns=(*LABELS, RUNS, *_MEASURES, Column("f1_macro_std", "SD of macro F1", "score")),
        rows=tuple(Row(_score_values(row, keep), gaps.marks(row)) for row in rows),
        caption=caption(collected, f"{what} {_MEAN_OF_SDS} Rare classes still count as wrong answers to others."),
        footnotes=(*gaps.notes, *mixed_of(collected)),
    )


def per_class_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the scores of each class of each architecture × scenario."""
    gaps = MissingRunNotes.of(rows)
    support = "Support: test images of the class over the folds that count."
    return Table(
        name="per_class",
        title="Scores of each class",
        columns=(*LABELS, Column("class", "Class"), Column("support", "Support", "count"), *_plain_measures()),
        rows=tuple(
            Row(values, gaps.marks(row)) for row in rows for values in _class_values(row, collected.plan.classes)
        ),
        caption=caption(collected, f"Shown is mean ± SD (ddof = 1) over the runs. {support}"),
        footnotes=(*gaps.notes, *_zeros(rows), *mixed_of(collected)),
        page_by=("architecture", "scenario"),
    )


def runs_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return each run that counts, with the folder of the stage its scores come from."""
    macro = (Column(f"{measure}_macro", HEADINGS[measure], "score") for measure in MEASURES)
    return Table(
        name="runs",
        title="Each run, and where it comes from",
        columns=(
            *LABELS,
            *(Column("fold", "Fold", "count"), Column("seed", "Seed", "count")),
            Column("learning_rate", "Learning rate", "rate"),
            Column("val_f1_macro", "Val F1", "score"),
            *macro,
            Column("stage", "Stage folder"),
        ),
        rows=tuple(Row(values) for row in rows for values in _run_values(row)),
        caption=caption(collected, "Macro scores of the test part of each run that counts."),
        footnotes=mixed_of(collected),
        page_by=("architecture", "scenario"),
    )


def caption(collected: Collected, what: str) -> str:
    """Return a caption that says what scores are of, and how they came about."""
    return (
        f"Test parts of {collected.plan.target}, {len(collected.plan.classes)} classes, each scored one against "
        f"the rest in each run (fold × seed). {what} Averaging as in Glüge et al. 2024, supplement 1.1. Epoch and "
        f"learning rate were chosen on {SELECTED_ON}, never on test images. A dash: undefined."
    )


def _plain_measures() -> tuple[Column, ...]:
    # A highest value over classes and rows together would answer no question: none is marked.
    return tuple(Column(c.key, c.heading, c.kind, c.std_key) for c in _MEASURES)


def _runs(rows: Sequence[RowScores]) -> str:
    planned = sorted({row.planned_runs for row in rows})
    return f"Runs: how many count of the {' or '.join(map(str, planned))} planned." if planned else ""


def _score_values(row: RowScores, keep: NDArray[np.bool_] | None) -> dict[str, Value]:
    values: dict[str, Value] = {
        "architecture": row.architecture,
        "scenario": row.scenario,
        "runs": row.runs,
        "learning_rate": row.learning_rate,
        "f1_macro_std": row.macro_std("f1", keep),
    }
    for measure in MEASURES:
        values |= {f"{measure}_mean": row.mean(measure, keep), f"{measure}_std": row.std(measure, keep)}
    return values


def _class_values(row: RowScores, classes: Sequence[str]) -> list[dict[str, Value]]:
    columns: dict[str, Sequence[Value]] = {"class": classes, "support": row.support.tolist()}
    for measure in MEASURES:
        for key, values in (("mean", row.class_means(measure)), ("std", row.class_stds(measure))):
            columns[f"{measure}_{key}"] = [None] * len(classes) if values is None else values.tolist()
    labels: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario}
    return [labels | {key: column[i] for key, column in columns.items()} for i in range(len(classes))]


def _run_values(row: RowScores) -> list[dict[str, Value]]:
    found: list[dict[str, Value]] = []
    for cell, scores in zip(row.cells, row.scores, strict=True):
        chosen = cell.candidate
        labels: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario}
        place = {"fold": chosen.fold, "seed": chosen.seed, "learning_rate": chosen.learning_rate}
        macro = {f"{measure}_macro": value for measure, value in scores.macro().items()}
        found.append(labels | place | {"val_f1_macro": chosen.val_f1_macro} | macro | {"stage": cell.folder.name})
    return found


def _zeros(rows: Sequence[RowScores]) -> list[Footnote]:
    counts = [(row, *row.undefined) for row in rows]
    total = sum(of for _, _, of in counts)
    if not total:
        return []
    zeros = sum(found for _, found, _ in counts)
    text = f"{zeros} of {total} ratios (measure × class × run) were 0/0 and count as 0"
    where = [f"{row.architecture}, {row.scenario}: {found} of {of}" for row, found, of in counts if found]
    return [Footnote("", f"{text} ({'; '.join(where)})." if where else f"{text}.")]
