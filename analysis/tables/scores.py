"""Score tables: per architecture × scenario, without rare classes, per class, and per run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Footnote, Row, Table
from analysis.registry.report_entry import report_entry
from analysis.stats.class_averages import MEASURE_NAMES, RowScores
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from analysis.tables.study_rows import (
    LABELS,
    RUNS,
    RowValues,
    labels,
    mixed_environments,
    score_caption,
    study_notes,
    study_rows,
)
from trainables.arrays import Mask

_MEASURES = tuple(
    Column(f"{measure}_mean", name, "score", std_key=f"{measure}_std", best=True)
    for measure, name in MEASURE_NAMES.items()
)
_MACRO_STD = Column("f1_macro_std", "SD of macro F1", "score")
_MEAN_OF_SDS = (
    "Shown is mean ± SD: mean and standard deviation (ddof = 1) over the runs are taken of each class, then "
    "the unweighted mean over the classes of both. So ± is not the SD of the macro score, which stands in "
    "the last column."
)


def scores_table(data: ReportData) -> Table:
    """Return the main table: class-averaged scores of each architecture × scenario."""
    return Table(
        title="Scores",
        columns=(*LABELS, RUNS, Column("learning_rate", "Learning rate"), *_MEASURES, _MACRO_STD),
        rows=study_rows(data, lambda row: [{"learning_rate": row.learning_rate, **_averages(row)}]),
        caption=score_caption(data.collected, f"{_MEAN_OF_SDS} {_planned_runs(data.rows)}"),
        footnotes=_with_zeros(data),
    )


TABLES.register("scores")(report_entry("answer", place=10)(scores_table))


@TABLES.register("scores_common_classes")
@report_entry("answer", place=20)
def common_classes_table(data: ReportData) -> Table | None:
    """Return the scores without rare classes; None where no class, or every class, is rare."""
    collected, least = data.collected, data.options.least_support
    images = np.bincount(collected.split.labels, minlength=len(collected.plan.classes))
    keep = images >= least
    if keep.all() or not keep.any():
        return None
    counted = zip(collected.plan.classes, images.tolist(), keep.tolist(), strict=True)
    rare = ", ".join(f"{name} ({count})" for name, count, kept in counted if not kept)
    text = (
        f"Without the classes of fewer than {least} images: {rare}. One image of such a class moves a macro score much."
    )
    return Table(
        title="Scores without rare classes",
        columns=(*LABELS, RUNS, *_MEASURES, _MACRO_STD),
        rows=study_rows(data, lambda row: [_averages(row, keep)]),
        caption=score_caption(collected, f"{text} {_MEAN_OF_SDS} Rare classes still count as wrong answers to others."),
        footnotes=study_notes(data),
    )


@TABLES.register("per_class")
@report_entry("classes", place=10)
def per_class_table(data: ReportData) -> Table:
    """Return the scores of each class of each architecture × scenario."""
    # The highest value over classes and rows together answers no question: none is highlighted.
    measures = (Column(column.key, column.heading, column.kind, column.std_key) for column in _MEASURES)
    support = "Support: test images of the class over the folds that count."
    return Table(
        title="Scores of each class",
        columns=(*LABELS, Column("class", "Class"), Column("support", "Support", "count"), *measures),
        rows=study_rows(data, lambda row: _class_values(row, data.collected.plan.classes)),
        caption=score_caption(data.collected, f"Shown is mean ± SD (ddof = 1) over the runs. {support}"),
        footnotes=_with_zeros(data),
        page_by=("architecture", "scenario"),
    )


@TABLES.register("runs")
@report_entry("runs", place=10)
def runs_table(data: ReportData) -> Table:
    """Return each run that counts, with the folder of the stage its scores come from."""
    return Table(
        title="Each run, and where it comes from",
        columns=(
            *LABELS,
            *(Column("fold", "Fold", "count"), Column("seed", "Seed", "count")),
            Column("learning_rate", "Learning rate", "rate"),
            Column("val_f1_macro", "Val F1", "score"),
            *(Column(f"{measure}_macro", name, "score") for measure, name in MEASURE_NAMES.items()),
            Column("stage", "Stage folder"),
        ),
        # Without footnote marks: a run that is listed lacks nothing.
        rows=tuple(Row({**labels(row), **values}) for row in data.rows for values in _run_values(row)),
        caption=score_caption(data.collected, "Macro scores of the test part of each run that counts."),
        footnotes=mixed_environments(data.collected),
        page_by=("architecture", "scenario"),
    )


def _planned_runs(rows: Sequence[RowScores]) -> str:
    planned = sorted({row.planned_runs for row in rows})
    return f"Runs: how many count of the {' or '.join(map(str, planned))} planned." if planned else ""


def _averages(row: RowScores, keep: Mask | None = None) -> dict[str, Value]:
    values: dict[str, Value] = {"f1_macro_std": row.macro_std("f1", keep)}
    for measure in MEASURE_NAMES:
        values |= {f"{measure}_mean": row.mean(measure, keep), f"{measure}_std": row.std(measure, keep)}
    return values


def _class_values(row: RowScores, classes: Sequence[str]) -> Iterator[RowValues]:
    columns: dict[str, Sequence[Value]] = {"class": classes, "support": row.support.tolist()}
    for measure in MEASURE_NAMES:
        for key, values in (("mean", row.class_means(measure)), ("std", row.class_stds(measure))):
            columns[f"{measure}_{key}"] = [None] * len(classes) if values is None else values.tolist()
    for of_class in zip(*columns.values(), strict=True):
        yield dict(zip(columns, of_class, strict=True))


def _run_values(row: RowScores) -> Iterator[RowValues]:
    for cell, scores in zip(row.cells, row.scores, strict=True):
        chosen = cell.candidate
        yield {
            "fold": chosen.fold,
            "seed": chosen.seed,
            "learning_rate": chosen.learning_rate,
            "val_f1_macro": chosen.val_f1_macro,
            **{f"{measure}_macro": value for measure, value in scores.macro().items()},
            "stage": cell.folder.name,
        }


def _with_zeros(data: ReportData) -> tuple[Footnote, ...]:
    """Return the footnotes of the rows, with one on undefined ratios before those on mixed environments."""
    notes = study_notes(data)
    missing = sum(bool(note.mark) for note in notes)
    return (*notes[:missing], *_zeros(data.rows), *notes[missing:])


def _zeros(rows: Sequence[RowScores]) -> list[Footnote]:
    counts = [(row, *row.undefined) for row in rows]
    total = sum(of for _, _, of in counts)
    if not total:
        return []
    zeros = sum(found for _, found, _ in counts)
    text = f"{zeros} of {total} ratios (measure × class × run) were 0/0 and count as 0"
    where = [f"{row.title}: {found} of {of}" for row, found, of in counts if found]
    return [Footnote("", f"{text} ({'; '.join(where)})." if where else f"{text}.")]
