"""Calibration of each row, and the bins of its reliability diagram."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Table
from analysis.registry.report_entry import report_entry
from analysis.results.calibration import BINS, pooled
from analysis.stats.class_averages import DDOF, RowScores
from analysis.stats.report_data import ReportData
from analysis.tables.registry import TABLES
from analysis.tables.study_rows import LABELS, RUNS, RowValues, study_notes, study_rows

_MEASURES = {
    "ece": "ECE",
    "brier": "Brier score",
    "mean_confidence": "Mean confidence",
    "accuracy": "Accuracy",
}


@TABLES.register("calibration")
@report_entry("calibration", place=10)
def calibration_table(data: ReportData) -> Table:
    """Return calibration error, Brier score, confidence and accuracy, mean ± SD over the runs."""
    return Table(
        title="Calibration",
        columns=(
            *LABELS,
            RUNS,
            *(Column(f"{key}_mean", name, "score", std_key=f"{key}_std") for key, name in _MEASURES.items()),
        ),
        rows=study_rows(data, lambda row: [_averages(row)]),
        caption=f"Test parts of {data.collected.plan.target}, mean ± SD (ddof = 1) over the runs, each image weighing the "
        f"same. ECE: expected calibration error over {BINS} bins of equal width (Guo et al. 2017); lower is better. Brier "
        "score: mean over the images of the squared distance between the probabilities of all classes and the truth, "
        "0 to 2 (Brier 1950); lower is better. No temperature was fitted.",
        footnotes=study_notes(data),
    )


@TABLES.register("reliability")
@report_entry("calibration", place=20)
def reliability_table(data: ReportData) -> Table:
    """Return the bins of the reliability diagram of each row, summed over its runs."""
    return Table(
        title="Reliability diagrams",
        columns=(
            *LABELS,
            RUNS,
            *(Column("above", "Above", "score"), Column("up_to", "Up to", "score")),
            Column("images", "Images", "count"),
            *(Column("confidence", "Mean confidence", "score"), Column("accuracy", "Accuracy", "score")),
        ),
        rows=study_rows(data, _bins),
        caption="Test images of all runs, by the probability of the predicted class. Where the net is calibrated, accuracy is "
        "the mean confidence.",
        footnotes=study_notes(data),
        page_by=("architecture", "scenario"),
    )


def _averages(row: RowScores) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key in _MEASURES:
        found = [value for cell in row.cells if (value := getattr(cell.calibration, key)) is not None]
        values[f"{key}_mean"] = float(np.mean(found)) if found else None
        values[f"{key}_std"] = float(np.std(found, ddof=DDOF)) if len(found) > DDOF else None
    return values


def _bins(row: RowScores) -> Iterator[RowValues]:
    if not row.runs:
        return
    total = pooled(cell.calibration for cell in row.cells)
    bins = len(total.images)
    for place, (images, confidence, hits) in enumerate(zip(total.images, total.confidence, total.hits, strict=True)):
        yield {
            "above": place / bins,
            "up_to": (place + 1) / bins,
            "images": int(images),
            "confidence": float(confidence / images) if images else None,
            "accuracy": float(hits / images) if images else None,
        }
