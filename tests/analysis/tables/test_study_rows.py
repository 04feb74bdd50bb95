"""Why a cell does not count, in the footnote of its row; and cells that should be alike and are not."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from analysis.page.build import build
from analysis.results.collect import collect

NAME = "resnet18-Random-f1-r0.01"


def notes_of(report: Any, name: str = "scores") -> list[str]:
    (table,) = (table for table in report.content.tables if table.name == name)
    return [note.text for note in table.footnotes]


def reason(small: Any) -> str:
    (out,) = collect(small.study).left_out
    return out.reason


def begin(small: Any) -> None:
    (small.folder(NAME) / "result.json").unlink()


def driver(small: Any, host: str, process: int) -> None:
    (small.root / ".driver.json").write_text(json.dumps({"host": host, "process": process, "since": 1.0}))


def test_begun_and_driven_is_running(small: Any) -> None:
    begin(small)
    assert reason(small) == "not run to its end"
    driver(small, socket.gethostname(), os.getpid())
    assert reason(small) == "not run to its end", "a driver that asks itself has ended its run"
    driver(small, socket.gethostname(), os.getppid())
    assert reason(small) == "running"
    assert any("running: fold 1, rate 0.01" in note for note in notes_of(build(small.study)))


def test_a_dead_driver_runs_nothing_and_a_foreign_one_is_believed(small: Any) -> None:
    begin(small)
    driver(small, socket.gethostname(), 2**22 + 1)
    assert reason(small) == "not run to its end"
    driver(small, "elsewhere", 1)
    assert reason(small) == "running"
    (small.root / ".driver.json").write_text("{")
    assert reason(small) == "not run to its end"


def test_an_excluded_cell_names_its_rule(small: Any) -> None:
    begin(small)

    def exclude(plan: dict[str, Any]) -> None:
        next(stage for stage in plan["stages"] if stage["name"] == NAME)["excluded"] = "{architecture: resnet18}"

    small.edit("plan.json", exclude)
    report = build(small.study)
    assert any("excluded by the rule {architecture: resnet18}: fold 1, rate 0.01" in note for note in notes_of(report))
    assert "Excluded by a rule of the grid (1)" in (small.root / "report/index.html").read_text()


def test_every_table_of_rows_says_what_is_missing(small: Any) -> None:
    small.fail(NAME, "OutOfMemoryError", "no memory")
    report = build(small.study)
    for name in ("scores", "per_class", "f1_mcc", "confusion", "calibration", "reliability"):
        assert any("failed: OutOfMemoryError: no memory: fold 1" in note for note in notes_of(report, name)), name
    assert any("Failed stages took time too" in note for note in notes_of(report, "cost"))


def test_mixed_devices_precisions_and_versions_are_said_at_the_tables(small: Any) -> None:
    tables = (
        "scores",
        "per_class",
        "f1_mcc",
        "confusion",
        "calibration",
        "reliability",
        "comparisons",
        "ranks",
        "runs",
    )
    report = build(small.study)
    assert not [note for name in tables for note in notes_of(report, name) if note.startswith("Mixed")]
    for rate in ("0.01", "0.02"):
        other = {"device": "NVIDIA A100", "precision": "bf16", "versions": {"torch": "2.15"}, "node": "n9"}
        small.edit_result(f"resnet18-Random-f1-r{rate}", environment=other)
    report = build(small.study)
    for name in tables:
        mixed = [note for note in notes_of(report, name) if note.startswith("Mixed")]
        assert len(mixed) == 3, name
        assert "differ in device: cpu (11 cells), NVIDIA A100 (1 cell)." in mixed[0]
        assert "version of torch: 2.14 (11 cells), 2.15 (1 cell)" in " ".join(mixed)
        assert "node" not in " ".join(mixed)


def test_a_study_with_all_kinds_of_trouble(small: Any) -> None:
    """A failure, a gap, a corrupted prediction file, a hand-edited result: the page and the table say each."""
    small.fail("vit_b_32-Random-f0-r0.01", "StageError", "the loss became nan")
    begin(small)
    predictions = small.folder("resnet18-PCam-f0-r0.01") / "predictions.parquet"
    content = bytearray(predictions.read_bytes())
    content[len(content) // 2] ^= 1
    predictions.write_bytes(bytes(content))
    result = json.loads((small.folder("vit_b_32-PCam-f2-r0.02") / "result.json").read_text())
    small.edit_result("vit_b_32-PCam-f2-r0.02", metrics=result["metrics"] | {"test_f1_macro": 0.99})
    report = build(small.study)
    page = (small.root / "report/index.html").read_text()
    assert {out.state for out in report.left_out} == {"failed", "not run", "refused"}
    for said in (
        "StageError: the loss became nan",
        "not run to its end",
        "its SHA-256 differs",
        "test_f1_macro is 0.99, but the logits give",
    ):
        assert said in page
        assert any(said in note for note in notes_of(report)), said
