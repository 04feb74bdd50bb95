"""What counts, and what is left out, by name and with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.results.collect import LeftOut, collect
from analysis.results.split import read_split
from trainables.errors import UserError
from trainables.specs import Stage

NAME = "resnet18-Random-f1-r0.01"


def only_left_out(small: Any) -> LeftOut:
    """Return the one cell left out; all others must count."""
    collected = collect(small.study)
    (out,) = collected.left_out
    assert len(collected.cells) == 23
    return out


def change_row(small: Any, **fields: Any) -> None:
    """Change one test row of a prediction file, with a digest that fits."""
    rows = small.predictions(NAME).to_pylist()
    next(row for row in rows if row["image_id"] == "EOS/1.jpg").update(fields)
    small.replace_predictions(NAME, pa.Table.from_pylist(rows, small.predictions(NAME).schema))


def test_all_cells_of_a_finished_study_count(finished: Any) -> None:
    collected = collect(finished.study)
    assert len(collected.cells) == 24
    assert not collected.left_out
    assert len(collected.chosen) == 12


def test_the_higher_val_score_is_chosen(finished: Any) -> None:
    collected = collect(finished.study)
    for choice in collected.choices:
        stored = {}
        for candidate in choice.candidates:
            result = finished.study.find(candidate.key).result()
            stored[candidate.key] = result["metrics"]["val_f1_macro"]
        assert len(stored) == 2
        assert stored[choice.chosen.key] == max(stored.values())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"selected_on": "test f1_macro"}, "selected_on is 'test f1_macro'"),
        ({"status": "running"}, "status"),
        ({"key": "0" * 64}, "of another stage"),
        ({"classes": ["EOS", "ABE", "LYT", "MON"]}, "classes are"),
        ({"metrics": {"test_f1_macro": 0.99}}, "test_f1_macro is 0.99, but the logits give"),
        ({"metrics": {"val_f1_macro": float("nan")}}, "val_f1_macro is nan"),
        ({"metrics": {"val_mcc_macro": None}}, "val_mcc_macro is None"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"learning_rate": 0.5}, "learning_rate is 0.5, but"),
        ({"digests": {}}, "no digest of predictions.parquet"),
        ({"metrics": "good"}, "metrics"),
    ],
)
def test_hand_edited_result(small: Any, fields: dict[str, Any], reason: str) -> None:
    small.edit_result(NAME, **fields)
    out = only_left_out(small)
    assert (out.name, out.state) == (NAME, "refused")
    assert out.key == small.folder(NAME).joinpath("stage.json").read_text().split('"key": "')[1][:64]
    assert reason in out.reason


def test_result_that_is_no_json(small: Any) -> None:
    (small.folder(NAME) / "result.json").write_text("{")
    assert "result.json is not a JSON object" in only_left_out(small).reason
    (small.folder(NAME) / "result.json").write_text("[1, 2]")
    assert "result.json" in only_left_out(small).reason


def test_corrupted_prediction_file(small: Any) -> None:
    file = small.folder(NAME) / "predictions.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    assert "SHA-256 differs" in only_left_out(small).reason
    file.unlink()
    assert "is missing" in only_left_out(small).reason


def test_edited_specification(small: Any) -> None:
    small.edit(f"stages/{small.folder(NAME).name}/stage.json", lambda stage: stage.update(learning_rate=0.5))
    assert "is not that of its content" in only_left_out(small).reason
    (small.folder(NAME) / "stage.json").unlink()
    assert "stage.json is missing" in only_left_out(small).reason


def test_cell_of_another_split(small: Any) -> None:
    stage = Stage.from_document(json.loads((small.folder(NAME) / "stage.json").read_text()))
    other = Stage.model_validate(stage.model_dump() | {"split": "another"})
    small.folder(NAME).rename(small.root / "stages" / other.folder)
    small.study.folder(other).begin(other)
    small.edit_result(NAME, key=other.key)
    planned = next(entry for entry in small.plan["stages"] if entry["name"] == NAME)
    small.edit("plan.json", lambda plan: plan["stages"][small.plan["stages"].index(planned)].update(key=other.key))
    assert "split is another, the study's is" in only_left_out(small).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"image_id": "EOS/999.jpg"},
            "1 test images are not in the test part of the split, first EOS/999.jpg",
        ),
        ({"image_id": "ABE/2.jpg"}, "not in the test part"),
        ({"image_id": "ABE/1.jpg"}, "more than once"),
        ({"label": 2}, "another label than in the split"),
        ({"split": "train"}, "not only ['val', 'test']"),
        ({"split": "val"}, "not in the val part"),
        ({"logits": [0.0, float("nan"), 0.0, 0.0]}, "not finite"),
        ({"image_id": None}, "1 values of column image_id are missing"),
    ],
)
def test_prediction_that_is_not_of_the_split(small: Any, fields: dict[str, Any], reason: str) -> None:
    change_row(small, **fields)
    assert reason in only_left_out(small).reason


def test_prediction_missing(small: Any) -> None:
    small.replace_predictions(NAME, small.predictions(NAME).slice(1))
    assert "images are missing, first" in only_left_out(small).reason


def test_too_few_logits(small: Any) -> None:
    table = small.predictions(NAME)
    narrow = pa.array([row[:3] for row in table["logits"].to_pylist()], pa.list_(pa.float32(), 3))
    small.replace_predictions(NAME, table.set_column(3, "logits", narrow))
    assert "not 4 float32 values an image" in only_left_out(small).reason


def test_order_of_predictions_does_not_matter(small: Any) -> None:
    table = small.predictions(NAME)
    small.replace_predictions(NAME, table.take(np.arange(table.num_rows)[::-1]))
    assert not collect(small.study).left_out


def test_changed_split_counts_nothing(small: Any) -> None:
    (file,) = (small.root / "splits").iterdir()
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    collected = collect(small.study)
    assert not collected.cells
    assert all("was changed" in out.reason for out in collected.left_out)
    file.unlink()
    assert "cannot be read" in str(read_split(small.study, collected.header.split).fault)


def test_failed_blocked_stale_and_not_run(small: Any) -> None:
    small.fail("resnet18-Random-f0-r0.02", "OutOfMemoryError", "no memory\nat all")
    (small.folder("resnet18-Random-f2-r0.01") / "result.json").unlink()
    names = [entry["name"] for entry in small.plan["stages"] if "vit_b_32-PCam-" in entry["name"]]
    for name in names[1:]:
        small.folder(name).joinpath("result.json").unlink()
    small.fail("vit_b_32-PCam", "ValueError", "bad")
    small.edit_result("resnet18-PCam", digests={"weights.safetensors": "other"})
    reasons = {out.name: out.reason for out in collect(small.study).left_out}
    assert reasons.pop("resnet18-Random-f0-r0.02") == "failed: OutOfMemoryError: no memory at all"
    assert reasons.pop("resnet18-Random-f2-r0.01") == "not run to its end"
    assert [reasons.pop(name) for name in names[1:]] == ["blocked by vit_b_32-PCam"] * 5
    assert len(reasons) == 6
    assert all(reason.startswith("stale: ") for reason in reasons.values())


def test_a_planned_study_that_was_not_begun(small: Any) -> None:
    (small.root / "stages").rename(small.root / "gone")
    collected = collect(small.study)
    assert {out.reason for out in collected.left_out} == {"not run"}
    assert len(collected.left_out) == 24


@pytest.mark.parametrize("file", ["plan.json", "study.json"])
@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.unlink(), lambda path: path.write_text("{"), lambda path: path.write_text("{}")],
)
def test_unreadable_plan_or_header(small: Any, file: str, spoil: Callable[[Any], None]) -> None:
    study = small.study
    spoil(small.root / file)
    with pytest.raises(UserError, match=file):
        collect(study)
