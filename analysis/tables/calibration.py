"""Calibration of each row, and the bins of its reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.formats.number_format import Value
from analysis.formats.table import Column, Row, Table
from analysis.results.calibration import BINS, Calibration, pooled
from analysis.results.collect import Collected
from analysis.stats.class_averages import DDOF, RowScores
from analysis.tables.footnotes import MissingRunNotes, mixed_of
from analysis.tables.scores import LABELS, RUNS

_MEASURES = {
    "ece": "ECE",
    "brier": "Brier score",
    "mean_confidence": "Mean confidence",
    "accuracy": "Accuracy",
}


def calibration_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return how well probabilities and hits agree, mean ± SD over the runs."""
    gaps = MissingRunNotes.of(rows)
    return Table(
        name="calibration",
        title="Calibration",
        columns=(
            *LABELS,
            RUNS,
            *(Column(f"{key}_mean", name, "score", std_key=f"{key}_std") for key, name in _MEASURES.items()),
        ),
        rows=tuple(Row(_values(row), gaps.marks(row)) for row in rows),
        caption=f"Test parts of {collected.plan.target}, mean ± SD (ddof = 1) over the runs, each image weighing the same. "
        f"ECE: expected calibration error over {BINS} bins of equal width (Guo et al. 2017); lower is better. Brier "
        "score: mean over the images of the squared distance between the probabilities of all classes and the truth, "
        "0 to 2 (Brier 1950); lower is better. No temperature was fitted.",
        footnotes=(*gaps.notes, *mixed_of(collected)),
    )


def reliability_table(collected: Collected, rows: Sequence[RowScores]) -> Table:
    """Return the bins of the reliability diagram of each row, summed over its runs."""
    gaps = MissingRunNotes.of(rows)
    return Table(
        name="reliability",
        title="Reliability diagrams",
        columns=(
            *LABELS,
            RUNS,
            *(Column("above", "Above", "score"), Column("up_to", "Up to", "score")),
            Column("images", "Images", "count"),
            *(Column("confidence", "Mean confidence", "score"), Column("accuracy", "Accuracy", "score")),
        ),
        rows=tuple(
            Row(values, gaps.marks(row))
            for row in rows
            for values in (_bins(row, pooled(cell.calibration for cell in row.cells)) if row.runs else ())
        ),
        caption="Test images of all runs, by the probability of the class said. Where the net is calibrated, accuracy is "
        "the mean confidence.",
        footnotes=(*gaps.notes, *mixed_of(collected)),
        page_by=("architecture", "scenario"),
    )


def _values(row: RowScores) -> dict[str, Value]:
    values: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario, "runs": row.runs}
    for key in _MEASURES:
        found = [value for cell in row.cells if (value := getattr(cell.calibration, key)) is not None]
        values[f"{key}_mean"] = float(np.mean(found)) if found else None
        values[f"{key}_std"] = float(np.std(found, ddof=DDOF)) if len(found) > DDOF else None
    return values


def _bins(row: RowScores, total: Calibration) -> list[dict[str, Value]]:
    labels: dict[str, Value] = {"architecture": row.architecture, "scenario": row.scenario, "runs": row.runs}
    bins = len(total.images)
    found: list[dict[str, Value]] = []
    for place, (images, confidence, hits) in enumerate(zip(total.images, total.confidence, total.hits, strict=True)):
        edges: dict[str, Value] = {"above": place / bins, "up_to": (place + 1) / bins, "images": int(images)}
        means: dict[str, Value] = {
            "confidence": float(confidence / images) if images else None,
            "accuracy": float(hits / images) if images else None,
        }
        found.append(labels | edges | means)
    return found
