"""F1 against MCC, and the confusion matrices summed over runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Table
from analysis.registry.report_entry import report_entry
from analysis.stats.class_averages import DDOF, RowScores, summed_confusion
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from analysis.tables.study_rows import LABELS, RUNS, RowValues, score_caption, study_notes, study_rows


@TABLES.register("f1_mcc")
@report_entry("classes", place=20)
def f1_mcc_table(data: ReportData) -> Table:
    """Return F1 and MCC side by side, with their difference."""
    return Table(
        title="F1 against MCC",
        columns=(
            *LABELS,
            RUNS,
            Column("f1_mean", "F1", "score", std_key="f1_std"),
            Column("mcc_mean", "MCC", "score", std_key="mcc_std"),
            Column("difference_mean", "MCC − F1", "score", std_key="difference_std"),
            Column("largest_difference", "Largest of a class", "score"),
            Column("largest_class", "Class"),
        ),
        rows=study_rows(data, lambda row: [_f1_mcc(row, data.collected.plan.classes)]),
        caption=score_caption(
            data.collected,
            "The difference is taken of each class in each run and averaged like the scores, so ± is the mean over the "
            "classes of its SD over the runs. Largest: of the class whose mean difference is furthest from 0.",
        ),
        footnotes=study_notes(data),
    )


@TABLES.register("confusion")
@report_entry("confusion", place=10)
def confusion_table(data: ReportData) -> Table:
    """Return the confusion matrix of each row, summed over its runs."""
    plan = data.collected.plan
    return Table(
        title="Confusion matrices",
        columns=(
            *LABELS,
            RUNS,
            Column("class", "True class"),
            *(Column(f"as_{name}", name, "count") for name in plan.classes),
        ),
        rows=study_rows(data, lambda row: _confusion(row, plan.classes)),
        caption=f"Test images of {plan.target}, summed over the runs that count: lines are the true class, "
        "columns the predicted class. An image is counted once for each seed.",
        footnotes=study_notes(data),
        page_by=("architecture", "scenario"),
    )


def _f1_mcc(row: RowScores, classes: Sequence[str]) -> RowValues:
    values: dict[str, Value] = {}
    for measure in ("f1", "mcc"):
        values |= {f"{measure}_mean": row.mean(measure), f"{measure}_std": row.std(measure)}
    keys = ("difference_mean", "difference_std", "largest_difference", "largest_class")
    if not row.runs:
        return values | dict.fromkeys(keys)
    difference = row.by_run("mcc") - row.by_run("f1")
    means = difference.mean(axis=0)
    place = int(np.abs(means).argmax())
    std = float(difference.std(axis=0, ddof=DDOF).mean()) if row.runs > DDOF else None
    return values | dict(zip(keys, (float(means.mean()), std, float(means[place]), classes[place]), strict=True))


def _confusion(row: RowScores, classes: Sequence[str]) -> Iterator[RowValues]:
    counts = summed_confusion(row).tolist() if row.runs else [[None] * len(classes)] * len(classes)
    for name, line in zip(classes, counts, strict=True):
        yield {"class": name, **{f"as_{predicted}": count for predicted, count in zip(classes, line, strict=True)}}
