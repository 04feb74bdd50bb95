"""Scores against scikit-learn, and gaps that never change a figure in silence."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, precision_recall_fscore_support

from analysis.formats.number_format import rate_text
from analysis.page.build import build

MEASURES = ("precision", "recall", "f1", "mcc")
CLASSES = 4
SCORES = (
    "architecture,scenario,runs,learning_rate,precision_mean,precision_std,recall_mean,recall_std,"
    "f1_mean,f1_std,mcc_mean,mcc_std,f1_macro_std"
)
PER_CLASS = (
    "architecture,scenario,class,support,precision_mean,precision_std,recall_mean,recall_std,"
    "f1_mean,f1_std,mcc_mean,mcc_std"
)


def read_csv(small: Any, name: str) -> list[dict[str, str]]:
    text = (small.root / "report" / "tables" / f"{name}.csv").read_text()
    return list(csv.DictReader(io.StringIO(text)))


def by_scikit_learn(small: Any, ignore: tuple[str, ...] = ()) -> dict[tuple[str, str], dict[str, Any]]:
    """Choose and score with scikit-learn, from the files alone; values of shape (folds, classes)."""
    best: dict[tuple[str, str, int], tuple[float, float, Any]] = {}
    for stage_file in sorted((small.root / "stages").glob("finetune-*/stage.json")):
        stage = json.loads(stage_file.read_text())
        if stage["name"] in ignore:
            continue
        rows = pq.read_table(stage_file.with_name("predictions.parquet")).to_pylist()
        val, test = (arrays(rows, part) for part in ("val", "test"))
        val_score = f1_score(*val, average="macro", labels=range(CLASSES), zero_division=0)
        place = (stage["architecture"], stage["scenario"], stage["fold"])
        best[place] = max(
            best.get(place, (-1, 0, None)), (val_score, -stage["learning_rate"], test), key=lambda b: b[:2]
        )
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: defaultdict(list))
    for (architecture, scenario, _), (_, rate, test) in best.items():
        row = found[architecture, scenario]
        row["rates"].append(-rate)
        values = precision_recall_fscore_support(*test, labels=range(CLASSES), zero_division=0)
        mcc = [matthews_corrcoef(test[0] == c, test[1] == c) for c in range(CLASSES)]
        for key, value in zip((*MEASURES, "support"), (*values[:3], mcc, values[3]), strict=True):
            row[key].append(value)
    return found


def arrays(rows: list[dict[str, Any]], part: str) -> tuple[np.ndarray, np.ndarray]:
    here = [row for row in rows if row["split"] == part]
    return np.array([row["label"] for row in here]), np.array([np.argmax(row["logits"]) for row in here])


def test_scores_against_scikit_learn(small: Any) -> None:
    build(small.study)
    expected = by_scikit_learn(small)
    rows = read_csv(small, "scores")
    assert [(row["architecture"], row["scenario"]) for row in rows] == [
        (architecture, scenario) for architecture in ("resnet18", "vit_b_32") for scenario in ("Random", "PCam")
    ]
    for row in rows:
        values = expected[row["architecture"], row["scenario"]]
        assert row["runs"] == "3"
        assert row["learning_rate"] == ";".join(f"{rate:g}" for rate in sorted(set(values["rates"])))
        for measure in MEASURES:
            runs = np.array(values[measure])
            assert float(row[f"{measure}_mean"]) == pytest.approx(runs.mean(axis=0).mean(), abs=1e-6)
            assert float(row[f"{measure}_std"]) == pytest.approx(runs.std(axis=0, ddof=1).mean(), abs=1e-6)
        macro = np.array(values["f1"]).mean(axis=1)
        assert float(row["f1_mean"]) == pytest.approx(macro.mean(), abs=1e-12)
        assert float(row["f1_macro_std"]) == pytest.approx(macro.std(ddof=1), abs=1e-6)
        assert abs(float(row["f1_macro_std"]) - float(row["f1_std"])) > 1e-3


def test_per_class_against_scikit_learn(small: Any) -> None:
    build(small.study)
    expected = by_scikit_learn(small)
    rows = read_csv(small, "per_class")
    assert [row["class"] for row in rows] == ["ABE", "EOS", "LYT", "MON"] * 4
    for number, row in enumerate(rows):
        values = expected[row["architecture"], row["scenario"]]
        place = number % CLASSES
        assert int(row["support"]) == np.array(values["support"])[:, place].sum() == 36
        for measure in MEASURES:
            runs = np.array(values[measure])[:, place]
            assert float(row[f"{measure}_mean"]) == pytest.approx(runs.mean(), abs=1e-6)
            assert float(row[f"{measure}_std"]) == pytest.approx(runs.std(ddof=1), abs=1e-6)


def test_columns_are_those_of_the_contract(small: Any) -> None:
    report = build(small.study)
    tables = small.root / "report" / "tables"
    assert (tables / "scores.csv").read_text().splitlines()[0] == SCORES == ",".join(report.scores.keys)
    assert (tables / "per_class.csv").read_text().splitlines()[0] == PER_CLASS


def test_a_fold_missing_is_said(small: Any) -> None:
    spoilt = ("resnet18-Random-f1-r0.01", "resnet18-Random-f1-r0.02")
    small.edit_result(spoilt[0], selected_on="test f1_macro")
    small.fail(spoilt[1], "ValueError", "too hot")
    report = build(small.study)
    row = read_csv(small, "scores")[0]
    expected = by_scikit_learn(small, ignore=spoilt)["resnet18", "Random"]
    assert row["runs"] == "2"
    assert float(row["f1_std"]) == pytest.approx(np.std(expected["f1"], axis=0, ddof=1).mean(), abs=1e-6)
    assert report.scores.rows[0].marks == ("a",)
    note = next(note for note in report.scores.footnotes if note.mark == "a")
    assert note.text.startswith("2 of 3 runs. ")
    assert "failed: ValueError: too hot: fold 1, rate 0.02" in note.text
    assert "selected_on is 'test f1_macro'" in note.text


def test_a_rate_missing_is_said_though_no_run_is(small: Any) -> None:
    small.fail("vit_b_32-PCam-f2-r0.01", "ValueError", "x")
    report = build(small.study)
    assert [row["runs"] for row in read_csv(small, "scores")] == ["3"] * 4
    (note,) = (note for note in report.scores.footnotes if note.mark)
    assert "all 3 runs, but of some the rate was chosen from fewer" in note.text


def test_one_run_has_no_deviation(small: Any) -> None:
    for fold in (1, 2):
        for rate in ("0.01", "0.02"):
            small.fail(f"resnet18-Random-f{fold}-r{rate}", "ValueError", "x")
    report = build(small.study)
    row = read_csv(small, "scores")[0]
    assert row["runs"] == "1"
    assert float(row["f1_mean"]) > 0
    assert {row[key] for key in row if key.endswith("_std")} == {""}
    assert {line["mcc_std"] for line in read_csv(small, "per_class")[:4]} == {""}
    assert report.scores.formatted[0][6].plain.endswith("± –")


def test_a_row_without_a_run_still_stands(small: Any) -> None:
    for entry in small.plan["stages"]:
        if entry["name"].startswith("resnet18-PCam-"):
            small.folder(entry["name"]).joinpath("result.json").unlink()
    report = build(small.study)
    row = read_csv(small, "scores")[1]
    assert (row["architecture"], row["scenario"], row["runs"]) == ("resnet18", "PCam", "0")
    assert {value for key, value in row.items() if key not in ("architecture", "scenario", "runs")} == {""}
    assert len(report.left_out) == 6
    assert "0 of 3 runs. not run to its end: 6 cells" in [note.text for note in report.scores.footnotes]


def test_another_seed_is_one_more_run(small: Any) -> None:
    """The second rate becomes a second seed: 6 runs a row, and support counts each image once."""

    def as_seeds(plan: dict[str, Any]) -> None:
        for entry in plan["stages"]:
            entry["seed"] = int(entry["learning_rate"] == 0.02)

    small.edit("plan.json", as_seeds)
    build(small.study)
    assert {row["runs"] for row in read_csv(small, "scores")} == {"6"}
    assert {row["learning_rate"] for row in read_csv(small, "scores")} == {"0.01;0.02"}
    assert {row["support"] for row in read_csv(small, "per_class")} == {"36"}


def test_undefined_ratios_are_counted(small: Any) -> None:
    (note,) = build(small.study).scores.footnotes
    # In each of 12 runs precision and MCC of MON, which is never predicted; in each of 4 folds 2 recall
    # and MCC of ABE, which is absent (its precision and F1 are 0/n).
    assert note.text.startswith("32 of 192 ratios")


@pytest.mark.parametrize(("rate", "text"), [(0.01, "0.01"), (1e-5, "1e-05"), (1.0, "1"), (0.00435, "0.00435")])
def test_rate_text(rate: float, text: str) -> None:
    assert rate_text(rate) == text
