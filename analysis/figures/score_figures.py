"""The figures of scores: comparisons, classes, confusion, calibration; each with the stage folders behind it."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.figures.differences import differences_drawing
from analysis.figures.drawing.figure import Figure, distinct, file_name
from analysis.figures.heatmap import heat_drawing
from analysis.figures.reliability import reliability_drawing
from analysis.formats.number_format import value_text
from analysis.results.calibration import pooled
from analysis.results.collect import Collected
from analysis.stats.class_averages import RowScores, summed
from analysis.stats.findings import Finding
from trainables.arrays import Ints


def difference_figures(answers: Sequence[Finding]) -> tuple[Figure, ...]:
    """Draw the comparisons of each question."""
    drawn = ((answer.name, differences_drawing(answer.question, answer.comparisons)) for answer in answers)
    what = "Filled: settled after Holm's correction; hollow: not. Intervals are not corrected."
    return distinct(
        Figure(file_name("differences", name), drawing, what) for name, drawing in drawn if drawing is not None
    )


def class_figure(collected: Collected, rows: Sequence[RowScores]) -> tuple[Figure, ...]:
    """Draw the mean F1 of each class in each row that has a run."""
    shown = [row for row in rows if row.runs]
    if not shown:
        return ()
    means = [row.class_means("f1") for row in shown]
    title = "F1 of each class, mean over the runs"
    names = [f"{row.architecture}, {row.scenario}" for row in shown]
    classes = collected.plan.classes
    shares = [[] if of_row is None else of_row.tolist() for of_row in means]
    said = "; ".join(
        f"{name}: {', '.join(f'{c} {value:.2f}' for c, value in zip(classes, of_row, strict=True))}"
        for name, of_row in zip(names, shares, strict=True)
    )
    drawing = heat_drawing(
        title, f"{said}.", names, classes, shares, ("architecture, scenario", "class"), "F1", longest=44
    )
    return (Figure("classes-f1", drawing, "An empty place: an F1 below 0.005.", _stages(shown)),)


def confusion_figures(collected: Collected, rows: Sequence[RowScores]) -> tuple[Figure, ...]:
    """Draw the confusion matrix of each row, summed over its runs, as shares of the true class."""
    return distinct(_confusion(collected, row) for row in rows if row.runs)


def reliability_figures(rows: Sequence[RowScores]) -> tuple[Figure, ...]:
    """Draw the reliability diagram of each row, its runs pooled."""
    return distinct(
        Figure(
            file_name("reliability", row.architecture, row.scenario),
            reliability_drawing(_title(row), pooled(cell.calibration for cell in row.cells)),
            _pooled(row),
            _stages((row,)),
            row.architecture,
        )
        for row in rows
        if row.runs
    )


def _pooled(row: RowScores) -> str:
    ece = value_text(pooled(cell.calibration for cell in row.cells).ece, "score")
    return f"{row.runs} runs pooled: ECE {ece}. The table has the mean over the runs."


def _confusion(collected: Collected, row: RowScores) -> Figure:
    counts = summed(row)
    totals = counts.sum(axis=1)
    shares = [
        [None] * len(line) if not total else (line / total).tolist()
        for line, total in zip(counts, totals.tolist(), strict=True)
    ]
    classes = collected.plan.classes
    lines = [f"{name[:16]} {total:,}" for name, total in zip(classes, totals.tolist(), strict=True)]
    drawing = heat_drawing(
        _title(row),
        _mistakes(classes, counts, totals),
        lines,
        classes,
        shares,
        ("true class, test images", "class said"),
        "of the true class",
    )
    return Figure(
        file_name("confusion", row.architecture, row.scenario),
        drawing,
        f"Summed over {row.runs} runs; per cent of each line.",
        _stages((row,)),
        row.architecture,
    )


def _mistakes(classes: Sequence[str], counts: Ints, totals: Ints) -> str:
    """Say the recall of each class and its most frequent mistake."""
    said = []
    for place, name in enumerate(classes):
        if not totals[place]:
            said.append(f"{name}: no test image")
            continue
        others = counts[place].copy()
        others[place] = 0
        worst = int(others.argmax())
        taken = f", most often taken for {classes[worst]}" if others[worst] else ""
        said.append(f"{name}: {counts[place, place] / totals[place]:.0%} right{taken}")
    return "; ".join(said) + "."


def _title(row: RowScores) -> str:
    return f"{row.architecture}, {row.scenario}"


def _stages(rows: Sequence[RowScores]) -> tuple[str, ...]:
    return tuple(cell.folder.name for row in rows for cell in row.cells)
