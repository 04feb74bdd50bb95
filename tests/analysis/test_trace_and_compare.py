"""What is behind a figure; and two studies side by side."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis.compare import main as compare
from analysis.page.build import build
from analysis.stats.paired_tests import corrected_t_test
from analysis.trace import main as trace

ROOT = Path(__file__).parents[2]


def traced(study: Any, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert trace([str(study.root), *more]) == 0
    found: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return found


def test_the_runs_of_a_trace_give_the_figure(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    report = build(small.study)
    found = traced(small, capsys, "--row", "vit_b_32,PCam", "--column", "f1_mean")
    assert found["figure"]["value"] == report.scores.rows[3].values["f1_mean"]
    assert np.mean([run["f1_macro"] for run in found["runs"]]) == pytest.approx(found["figure"]["value"], abs=1e-12)
    assert [run["fold"] for run in found["runs"]] == [0, 1, 2]
    macro_std = traced(small, capsys, "--row", "vit_b_32,PCam", "--column", "f1_macro_std")
    assert np.std([run["f1_macro"] for run in found["runs"]], ddof=1) == pytest.approx(macro_std["figure"]["value"])
    for run in found["runs"]:
        result = json.loads((Path(run["stage"]) / "result.json").read_text())
        assert (run["key"], run["digests"]) == (result["key"], result["digests"])
        assert run["chosen_from"][f"{run['learning_rate']:g}"]["key"] == run["key"]
        assert len(run["chosen_from"]) == 2
        (upstream,) = run["upstream"]
        assert upstream["kind"] == "pretrain"
        assert Path(upstream["stage"]).is_dir()
        assert f"--cell {run['key'][:16]}" in run["command"]


def test_the_commands_of_a_trace_are_such(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(trained, capsys, "--row", "tiny,Tissue")
    assert found["figure"]["column"] == "f1_mean"
    words = found["commands"]["table"].split()
    assert words[:3] == ["python", "-m", "analysis.report"]
    assert Path(words[3]).samefile(trained.root)
    assert found["runs"][0]["upstream"][0]["data"]["name"] == "tissue"
    assert found["runs"][0]["environment"]["versions"]["torch"]


def test_a_trace_says_what_is_missing(small: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for rate in ("0.01", "0.02"):
        small.fail(f"vit_b_32-PCam-f1-r{rate}", "ValueError", "too hot")
    found = traced(small, capsys, "--row", "vit_b_32,PCam", "--column", "mcc_std")
    assert found["figure"]["runs"] == 2
    assert "failed: ValueError: too hot" in found["figure"]["missing"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--row", "vit_b_32,PCm"), "did you mean vit_b_32,PCam"),
        (("--row", "vit_b_32,PCam", "--column", "f1"), "did you mean"),
        (("--row", "vit_b_32"), "no such ARCHITECTURE,SCENARIO"),
    ],
)
def test_mistakes_are_named(
    finished: Any, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace([str(finished.root), *arguments]) == 2
    assert message in capsys.readouterr().err


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / f"{name}.csv").open()))


def test_studies_of_one_split_are_paired_over_folds(small: Any, finished: Any, tmp_path: Path) -> None:
    """The copy lost a rate of one row, so other cells are chosen there."""
    for fold in (0, 1, 2):
        small.fail(f"resnet18-Random-f{fold}-r0.01", "ValueError", "x")
    assert compare([str(finished.root), str(small.root), "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path, "studies")
    assert [float(row["difference"]) for row in rows[1:]] == [0.0] * 3
    means = [
        {(r["fold"]): float(r["f1_macro"]) for r in rows_of(study.root / "report/tables", "runs")[:3]}
        for study in (finished_report(finished, tmp_path), small_report(small))
    ]
    d = [means[1][fold] - means[0][fold] for fold in sorted(means[0])]
    expected = corrected_t_test(d, _ratio(small))
    assert float(rows[0]["difference"]) == pytest.approx(np.mean(d))
    assert float(rows[0]["p"]) == pytest.approx(expected.p)


class _Copy:
    def __init__(self, root: Path) -> None:
        self.root = root


def finished_report(finished: Any, tmp_path: Path) -> Any:
    from trainables.store.study import Study

    root = Path(shutil.copytree(finished.root, tmp_path / "copy"))
    build(Study.open(str(root)))
    return _Copy(root)


def small_report(small: Any) -> Any:
    build(small.study)
    return small


def _ratio(small: Any) -> float:
    split = next((small.root / "splits").iterdir())
    import pyarrow.parquet as pq

    parts = pq.read_table(split)["split"].to_pylist()
    return parts.count("test") / parts.count("train")


def test_studies_of_other_splits_are_only_described(finished: Any, trained: Any, tmp_path: Path) -> None:
    assert compare([str(finished.root), str(trained.root), "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path, "studies")
    assert "p" not in rows[0]
    assert {row["difference"] for row in rows} == {""}
    assert (tmp_path / "studies.md").read_text().count("Not planned in") == 2
    differences = {row["what"]: (row["a"], row["b"]) for row in rows_of(tmp_path, "studies_differences")}
    assert differences["recipe: image_size"] == ("224", "32")
    assert "recipe: optimizer" not in differences
    assert {"split", "data fingerprint", "architectures"} <= set(differences)


@pytest.mark.parametrize("command", ["report", "predict", "trace", "compare", "bundle", "export", "ask"])
def test_help_waits_for_no_heavy_library(command: str) -> None:
    code = (
        f"import sys; from analysis.{command} import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'pyarrow', 'scipy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
