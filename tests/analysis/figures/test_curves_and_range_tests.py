"""Learning curves and range tests: what is drawn, and what is said where nothing can be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from analysis.figures.curves import CHOSEN, curve_figures, curves_drawing
from analysis.figures.differences import differences_drawing
from analysis.figures.drawing.figure import Figure
from analysis.figures.drawing.shapes import Marker, Polyline, Text
from analysis.figures.range_tests import range_drawing, range_figures
from analysis.figures.registry import FigureEntry
from analysis.figures.stage_curves import History, RangeTestCurve
from analysis.results.collect import collect
from analysis.stats.report_data import ReportData
from tests.analysis.support import rich_study


def drawn(entry: FigureEntry, small: Any) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    found = entry.make(ReportData(collect(small.study)))
    return found.figures, found.missing


def one_history(loss: list[float], chosen: int | None = 1) -> History:
    epochs = {name: list(range(len(loss))) for name in ("train", "val")}
    values = {"train": loss, "val": [value + 0.1 for value in loss]}
    return History("fold 0", "stage", chosen, epochs, values, {name: [0.5] * len(loss) for name in values})


def test_folds_of_a_row_are_drawn_together(small: Any) -> None:
    rich_study.add_histories(small)
    figures, undrawn = drawn(curve_figures, small)
    assert undrawn == ()
    names = [figure.name for figure in figures]
    assert names == [
        *(f"curves-{a}-{s}" for a in ("resnet18", "vit_b_32") for s in ("Random", "PCam")),
        *(f"curves-pretrain-{a}-PCam" for a in ("resnet18", "vit_b_32")),
    ]
    for figure, folds in zip(figures, (3, 3, 3, 3, 1, 1), strict=True):
        curves = [shape for shape in figure.drawing.shapes if isinstance(shape, Polyline) and len(shape.points) > 2]
        assert len(curves) == 2 * 2 * folds  # train and val, loss and F1
        chosen = [shape for shape in figure.drawing.shapes if isinstance(shape, Marker) and shape.role == CHOSEN.role]
        assert len(chosen) == 1 + 2 * folds  # one in the legend
        assert len(figure.sources) == folds
        assert figure.drawing.description.count("epoch 6 chosen") == folds
    assert figures[0].caption == "Folds 0, 1, 2."


def test_the_chosen_epoch_is_marked_on_the_val_curve() -> None:
    drawing = curves_drawing("t", [one_history([3.0, 2.0, 1.0])])
    lines = [shape for shape in drawing.shapes if isinstance(shape, Polyline) and len(shape.points) == 3]
    val = [line for line in lines if not line.dash]
    marks = [(shape.x, shape.y) for shape in drawing.shapes if isinstance(shape, Marker)][1:]
    assert marks == [line.points[1] for line in val]
    assert all(line.dash for line in lines if line not in val)


def test_a_wide_loss_has_a_logarithmic_axis_and_gaps_no_points() -> None:
    narrow = curves_drawing("t", [one_history([3.0, 2.0, 1.0])])
    wide = curves_drawing("t", [one_history([300.0, math.nan, 1.0], None)])
    assert not [shape for shape in narrow.shapes if isinstance(shape, Text) and "logarithmic" in shape.text]
    assert [shape for shape in wide.shapes if isinstance(shape, Text) and shape.text == "Loss (logarithmic)"]
    assert "chosen" not in wide.description
    assert curves_drawing("t", [one_history([1.0])]).description


def test_what_cannot_be_drawn_is_said(small: Any) -> None:
    figures, undrawn = drawn(curve_figures, small)
    assert figures == ()
    assert len(undrawn) == 1
    assert undrawn[0].startswith("Not drawn: ")
    assert undrawn[0].endswith("and 13 more: result.json has no digest of history.parquet.")
    rich_study.add_histories(small)
    stage = small.folder("resnet18-PCam")
    (stage / "history.parquet").write_bytes(b"changed")
    figures, undrawn = drawn(curve_figures, small)
    assert len(figures) == 5
    assert undrawn == (
        f"Not drawn: {stage.name}: history.parquet is not what the stage wrote: its SHA-256 differs from the one in result.json.",
    )


def test_range_tests_show_the_choice_and_what_the_other_rules_say(small: Any) -> None:
    rich_study.add_range_tests(small)
    figures, undrawn = drawn(range_figures, small)
    assert undrawn == ()
    clear, flat = figures
    assert clear.caption.startswith("Start rate 0.00")
    assert "(steepest): the loss falls fastest per unit of rate" in clear.caption
    assert "Other rules point at: halfway" in clear.caption
    marks = [shape for shape in clear.drawing.shapes if isinstance(shape, Marker)]
    assert len({(mark.form, mark.hollow) for mark in marks}) == 3  # told apart without colour
    assert len(marks) == 6
    assert "no clear minimum" in flat.caption
    assert [shape for shape in flat.drawing.shapes if isinstance(shape, Text) and shape.text == "fallback"]


def test_the_chosen_point_lies_on_the_smoothed_curve() -> None:
    test = RangeTestCurve(
        "s", [1.0, 2.0, 3.0], [5.0, 4.0, 9.0], [5.0, 4.0, 6.0], 2.0, "halfway", "r", 1, {"halfway": 1, "valley": 0}
    )
    drawing = range_drawing("t", test)
    smoothed = next(
        shape for shape in drawing.shapes if isinstance(shape, Polyline) and shape.width == 2 and len(shape.points) == 3
    )
    chosen = [shape for shape in drawing.shapes if isinstance(shape, Marker) and not shape.hollow]
    assert (chosen[-1].x, chosen[-1].y) == smoothed.points[1]
    assert chosen[-1].form == "square"
    texts = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
    assert "learning rate" in texts  # too narrow for a logarithm


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result.pop("choice"),
        lambda result: result["choice"].update(place=99),
        lambda result: result["choice"].update(places={"valley": "x"}),
    ],
)
def test_a_range_test_that_is_not_as_expected_is_named(small: Any, spoil: Any) -> None:
    rich_study.add_range_tests(small)
    folder = small.folder("resnet18-Random-f0-range")
    result = json.loads((folder / "result.json").read_text())
    spoil(result)
    (folder / "result.json").write_text(json.dumps(result))
    figures, undrawn = drawn(range_figures, small)
    assert len(figures) == 1
    assert len(undrawn) == 1
    assert folder.name in undrawn[0]


def test_no_comparison_no_drawing() -> None:
    assert differences_drawing("t", ()) is None
