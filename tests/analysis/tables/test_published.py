"""The anchor stands beside the bone-marrow set only; rare classes are left out of a table of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from analysis.page.build import build
from analysis.stats.report_data import ReportOptions
from tests.analysis.support.full_size import CLASSES, write_full_size
from trainables.store.storage import Storage
from trainables.store.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = Study(Storage(tmp_path_factory.mktemp("rare") / "study"))
    write_full_size(made, scale=0.02, folds=3, architectures=("resnet152",))
    return made


def tables(study: Study, **options: Any) -> dict[str, Any]:
    return {table.name: table for table in build(study, ReportOptions(**options)).content.tables}


def test_rare_classes_are_named_and_left_out_of_the_mean(study: Study) -> None:
    found = tables(study)["scores_common_classes"]
    assert "ABE (3)" in found.caption
    assert "NGS (" not in found.caption
    keep = [place for place, name in enumerate(CLASSES) if f"{name} (" not in found.caption]
    assert 5 < len(keep) < 21
    row = found.rows[1].values
    runs = []
    for fold in range(3):
        (name,) = (f.name for f in study.folders() if f"resnet152-ImageNet-fold{fold}-" in f.name)
        rows = [
            r
            for r in study.storage.read_table(f"stages/{name}/predictions.parquet").to_pylist()
            if r["split"] == "test"
        ]
        labels, said = [r["label"] for r in rows], [int(np.argmax(r["logits"])) for r in rows]
        runs.append(precision_recall_fscore_support(labels, said, labels=range(21), zero_division=0)[2][keep])
    values = np.array(runs)
    assert row["f1_mean"] == pytest.approx(values.mean())
    assert row["f1_std"] == pytest.approx(values.std(axis=0, ddof=1).mean())
    assert row["f1_macro_std"] == pytest.approx(values.mean(axis=1).std(ddof=1))


def test_the_threshold_is_the_users(study: Study) -> None:
    assert "scores_common_classes" not in tables(study, least_support=1)
    assert "scores_common_classes" not in tables(study, least_support=10**9)


def test_the_anchor_is_a_table_of_its_own_and_says_what_differs(study: Study, small: Any) -> None:
    found = tables(study)
    (row,) = found["published"].rows
    assert (row.values["precision_mean"], row.values["recall_mean"], row.values["f1_mean"]) == (0.787, 0.755, 0.762)
    assert (row.values["precision_std"], row.values["recall_std"], row.values["f1_std"]) == (0.060, 0.061, 0.050)
    (note,) = found["published"].footnotes
    assert "published on 171374 images of 21 classes" in note.text
    assert "regnet" not in found["scores"].to_csv()
    assert "published" not in tables(small.study)


def test_the_anchor_of_the_whole_set_needs_no_note(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from analysis.tables.published import published_table

    plan = SimpleNamespace(target="bone_marrow", classes=CLASSES)
    whole = SimpleNamespace(plan=plan, split=SimpleNamespace(labels=np.zeros(171_373)))
    table = published_table.make(SimpleNamespace(collected=whole))  # type: ignore[arg-type]
    assert table is not None
    assert not table.footnotes
