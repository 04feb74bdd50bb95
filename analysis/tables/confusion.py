"""F1 against MCC, and the confusion matrices summed over folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Row, Table
from analysis.results.collect import Collected
from analysis.stats.class_averages import DDOF, RowScores, summed
from analysis.tables.footnotes import MissingRunNotes, mixed_of
from analysis.tables.scores import LABELS, RUNS, caption


def f1_mcc_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return F1 and MCC side by side, with their difference."""
    gaps = MissingRunNotes.of(rows)
    return Table(
        name="f1_mcc",
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
        rows=tuple(Row(_f1_mcc(row, collected.plan.classes), gaps.marks(row)) for row in rows),
        caption=caption(
            collected,
            "The difference is taken of each class in each run and averaged like the scores, so ± is the mean over the "
            "classes of its SD over the runs. Largest: of the class whose mean difference is furthest from 0.",
        ),
        footnotes=(*gaps.notes, *mixed_of(collected)),
    )


def confusion_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the confusion matrix of each row, summed over its runs."""
    gaps, classes = MissingRunNotes.of(rows), collected.plan.classes
    return Table(
        name="confusion",
        title="Confusion matrices",
        columns=(
            *LABELS,
            RUNS,
            Column("class", "True class"),
            *(Column(f"as_{name}", name, "count") for name in classes),
        ),
        rows=tuple(Row(values, gaps.marks(row)) for row in rows for values in _confusion(row, classes)),
        caption=f"Test images of {collected.plan.target}, summed over the runs that count: lines are the true class, "
        "columns the class said. An image is counted once for each seed.",
        footnotes=(*gaps.notes, *mixed_of(collected)),
        page_by=("architecture", "scenario"),
    )


def _f1_mcc(row: RowScores, classes: Sequence[str]) -> dict[str, Value]:
    values: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario, "runs": row.runs}
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


def _confusion(row: RowScores, classes: Sequence[str]) -> list[dict[str, Value]]:
    labels: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario, "runs": row.runs}
    counts: list[list[int | None]] = summed(row).tolist() if row.runs else [[None] * len(classes)] * len(classes)
    return [
        labels | {"class": name} | {f"as_{said}": count for said, count in zip(classes, line, strict=True)}
        for name, line in zip(classes, counts, strict=True)
    ]
