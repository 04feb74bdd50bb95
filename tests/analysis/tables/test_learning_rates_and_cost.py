"""Learning rates and where they came from; cost by architecture and device."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import yaml

from analysis.formats.table import Table
from analysis.page.build import build
from trainables.store.study import StageFolder


def table(small: Any, name: str) -> Table:
    (found,) = (table for table in build(small.study).content.tables if table.name == name)
    return found


def sources(small: Any) -> list[dict[str, Any]]:
    return [dict(row.values) for row in table(small, "learning_rate_sources").rows]


def grid(small: Any, **axes: Any) -> None:
    (small.root / "grid.yaml").write_text(yaml.safe_dump({"scenarios": {}, "axes": axes}))


def test_rates_in_the_form_of_table_2(small: Any) -> None:
    found = table(small, "learning_rates")
    assert found.keys == ("phase", "scenario", "resnet18", "vit_b_32")
    assert [(row.values["phase"], row.values["scenario"]) for row in found.rows] == [
        ("pre-training", "PCam"),
        ("fine-tuning", "Random"),
        ("fine-tuning", "PCam"),
    ]
    scores = {(row["architecture"], row["scenario"]): row["learning_rate"] for row in _scores(small)}
    for row in found.rows[1:]:
        for architecture in ("resnet18", "vit_b_32"):
            assert row.values[architecture] == scores[architecture, row.values["scenario"]]
    assert found.rows[0].values["resnet18"] == "0.1"


def test_every_chosen_run_has_one_source(small: Any) -> None:
    chosen = [row for row in sources(small) if row["phase"] == "fine-tuning"]
    assert sum(len(row["folds"].split(", ")) for row in chosen) == 12
    assert {row["source"] for row in chosen} == {"list in the grid, chosen on val from 0.01, 0.02"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (0.01, "grid"),
        ({"table": {"Random": {}}}, "table in the grid"),
        ({"table": {"Random": {}}, "times": [0.5, 1.0]}, "table in the grid times 0.5, 1"),
    ],
)
def test_how_the_grid_asked(small: Any, asked: Any, said: str) -> None:
    grid(small, learning_rate=asked)
    found = [row["source"].partition(", chosen")[0] for row in sources(small) if row["phase"] == "fine-tuning"]
    assert set(found) == {said}


def test_a_range_test_is_named_with_its_rule_and_reason(small: Any) -> None:
    key = "a" * 64
    folder = StageFolder(small.study.storage, f"lr_range-test-{key[:16]}")
    folder.commit(
        {"status": "done", "key": key, "learning_rate": 0.01, "choice": {"rule": "steepest", "reason": "fell by 80 %"}}
    )

    def add(plan: dict[str, Any]) -> None:
        test = {"kind": "lr_range", "name": "test", "key": key, "architecture": "resnet18", "scenario": "Random"}
        plan["stages"].append(test)
        for stage in plan["stages"]:
            if stage["name"].startswith("resnet18-Random-f"):
                stage |= {"upstream": [key], "learning_rate": None}

    small.edit("plan.json", add)
    found = {
        row["source"] for row in sources(small) if (row["architecture"], row["scenario"]) == ("resnet18", "Random")
    }
    assert found == {"range test shared by folds: steepest, fell by 80 %"}


def test_cost_adds_up_by_device(small: Any) -> None:
    history = pa.table({"images_per_second": [90.0, 100.0, 110.0]})
    name = "resnet18-Random-f0-r0.01"
    digest = StageFolder(small.study.storage, small.folder(name).name).files.write_table("history.parquet", history)
    cell = small.study.find(small.folder(name).name[-16:]).result()
    gpu = {"device": "NVIDIA A100", "world_size": 4, "peak_memory_bytes": 3_000_000_000}
    small.edit_result(name, digests=cell["digests"] | {"history.parquet": digest}, environment=gpu, seconds=900)
    rows = {
        (row.values["architecture"], row.values["kind"], row.values["device"]): row.values
        for row in table(small, "cost").rows
    }
    on_gpu = rows["resnet18", "finetune", "NVIDIA A100"]
    assert (on_gpu["hours"], on_gpu["unit"], on_gpu["stages"]) == (1.0, "GPU-hours", 1)
    assert (on_gpu["images_per_second"], on_gpu["peak_memory_gb"]) == (100.0, 3.0)
    on_cpu = rows["resnet18", "finetune", "cpu"]
    assert on_cpu["hours"] == pytest.approx(11 * 12.3 / 3600)
    assert (on_cpu["unit"], on_cpu["peak_memory_gb"]) == ("CPU core-hours", None)


def test_a_corrupt_history_costs_only_its_speed(small: Any) -> None:
    name = "resnet18-Random-f0-r0.01"
    result = small.study.find(small.folder(name).name[-16:]).result()
    (small.folder(name) / "history.parquet").write_bytes(b"not what was written")
    small.edit_result(name, digests=result["digests"] | {"history.parquet": "0" * 64})
    found = table(small, "cost")
    assert any("images/s left out" in note.text for note in found.footnotes)
    assert sum(int(str(row.values["stages"])) for row in found.rows) == 26


def _scores(small: Any) -> list[dict[str, Any]]:
    return [dict(row.values) for row in build(small.study).scores.rows]
