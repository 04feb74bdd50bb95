"""Tests that a stage gives the same bits again, and does not see the test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tests.trainables.support.stage_bench import Bench, Ran, run, split_rows
from trainables.store.study import split_digest


def test_the_same_stage_in_another_study_ends_with_the_same_bits(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    torch.manual_seed(12345)  # whatever the process did before
    again = run(bench.stage(), bench.study(tmp_path), bench.runtime)
    assert again.result["digests"]["weights.safetensors"] == finetuned.result["digests"]["weights.safetensors"]
    assert again.result["digests"]["predictions.parquet"] == finetuned.result["digests"]["predictions.parquet"]
    assert again.result["metrics"] == finetuned.result["metrics"]


def test_another_seed_or_fold_ends_with_other_bits(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    study = bench.study(tmp_path)
    others = [run(stage, study, bench.runtime) for stage in (bench.stage(seed=1), bench.stage(fold=2))]
    digests = {ran.result["digests"]["weights.safetensors"] for ran in (finetuned, *others)}
    assert len(digests) == 3


def test_the_test_part_changes_nothing_in_training_or_selection(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    """With half of the test images away, and the others called otherwise, all but the test scores stay."""
    tested = list(split_rows(bench.cell_split, 1, "test"))
    keep = [row for row in bench.cell_split.table.to_pylist() if row["image_id"] not in tested[::2]]
    table = pa.Table.from_pylist(keep, schema=bench.cell_split.table.schema)
    study, digest = bench.study(tmp_path), split_digest(table)
    study.write_split(digest, table)
    other = run(bench.stage(split=digest), study, bench.runtime)
    assert other.result["digests"]["weights.safetensors"] == finetuned.result["digests"]["weights.safetensors"]
    assert other.result["selected_epoch"] == finetuned.result["selected_epoch"]
    shown = [f"val_{name}" for name in ("loss", "accuracy", "f1_macro")]
    assert [other.result["metrics"][name] for name in shown] == [finetuned.result["metrics"][name] for name in shown]
    assert other.result["metrics"]["test_loss"] != finetuned.result["metrics"]["test_loss"]


def test_a_prepared_set_in_another_order_gives_the_same_parts(bench: Bench, finetuned: Ran, tmp_path: Path) -> None:
    """A split names images; where they lie in the packed file is another matter."""
    rows = bench.cell_split.table.to_pylist()
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    table = pa.Table.from_pylist(shuffled, schema=bench.cell_split.table.schema)
    study = bench.study(tmp_path)
    study.write_split(split_digest(table), table)
    other = run(bench.stage(split=split_digest(table), recipe={"epochs": 1}), study, bench.runtime)
    found = {row["image_id"]: (row["split"], row["label"]) for row in other.table("predictions.parquet").to_pylist()}
    expected = finetuned.table("predictions.parquet").to_pylist()
    assert found == {row["image_id"]: (row["split"], row["label"]) for row in expected}
