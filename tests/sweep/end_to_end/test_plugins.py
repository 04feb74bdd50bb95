"""A study with an optimizer and a reader that a distribution outside the project publishes, by the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.support.plugins import install_toy

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GRID = """\
target: cells
data:
  cells: {reader: toy_arrays, path: arrays, negative: true}
split: {folds: 2, val_fraction: 0.25}
architectures:
  tiny: {model: timm/test_resnet}
scenarios: {Random: {}}
axes: {architecture: [tiny], learning_rate: [0.02], fold: [0]}
recipe: {image_size: 32, batch_size: 8, precision: float32, epochs: 2, metrics: [toy_confidence]}
finetune: {optimizer: toy_sign, optimizer_options: {share: 0.2}}
"""
PLAN = """
import json, sys
from sweep.run import main
status = main(sys.argv[1:])
print(status, "torch" in sys.modules, "toy_plugin.optimizer" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with arrays of three classes that differ in their colour, and the distribution in two versions."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "data" / "arrays").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for channel, name in enumerate("abc"):
        images = rng.integers(0, 90, (16, 32, 32, 3))
        images[..., channel] += 150
        np.save(folder / "data" / "arrays" / f"{name}.npy", images.astype(np.uint8))
    (folder / "grid.yaml").write_text(GRID)
    for version in ("1.0", "1.1"):
        install_toy(folder / version, version)
    return folder


def run(folder: Path, version: str | None, *arguments: str, script: str | None = None) -> Any:
    path = os.pathsep.join([str(ROOT), *([str(folder / version)] if version else [])])
    call = ["-c", script] if script else ["-m", "sweep.run"]
    options = ["--grid", "grid.yaml", "--data", "data", "--storage", "studies", "--wandb", "off"]
    return subprocess.run(
        [sys.executable, *call, *options, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
    )


def planned(folder: Path, version: str, *arguments: str) -> dict[str, Any]:
    done = run(folder, version, "--plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    return dict(stage)


def test_a_study_runs_with_entries_of_others_and_another_version_is_other_work(folder: Path) -> None:
    done = run(folder, "1.0")
    assert done.returncode == 0, done.stdout + done.stderr
    (stage,) = (folder / "studies" / "grid" / "stages").iterdir()
    document, result = (json.loads((stage / name).read_text()) for name in ("stage.json", "result.json"))
    assert [(p["kind"], p["name"], p["version"]) for p in document["plugins"]] == [
        ("metric", "toy_confidence", "1.0"),
        ("optimizer", "toy_sign", "1.0"),
    ]
    reader = document["data"]["reader"]
    assert (reader["distribution"], reader["version"], reader["options"]["negative"]) == ("toy-plugin", "1.0", True)
    assert 0 < result["metrics"]["test_toy_confidence"] <= 1
    same, other = planned(folder, "1.0"), planned(folder, "1.1")
    assert (same["key"], same["state"]) == (document["key"], "done")
    assert other["key"] != same["key"]
    assert other["state"] != "done"
    share = planned(folder, "1.0", "--set", "finetune.optimizer_options={share: 0.3}")
    assert share["key"] not in (same["key"], other["key"])
    positive = planned(folder, "1.0", "--set", "data.cells={reader: toy_arrays, path: arrays}", "--study", "other")
    assert positive["key"] not in (same["key"], None)

    refused = run(folder, None)
    assert refused.returncode == 2
    assert "grid.yaml:3: data.cells: unknown reader toy_arrays, there are bone_marrow," in refused.stderr
    assert "recipe.metrics: no metric toy_confidence; there are top_k_accuracy, and what other" in refused.stderr
    assert "finetune.optimizer: no optimizer toy_sign; there are adamw, sgd, and what other installed" in refused.stderr
    report = subprocess.run(
        [sys.executable, "-m", "analysis.report", "studies/grid"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert report.returncode == 0, report.stderr
    assert "toy_sign (share 0.2)" in (folder / "studies/grid/report/index.html").read_text()


def test_the_plan_imports_neither_torch_nor_the_module_of_the_optimizer(folder: Path) -> None:
    copy = folder.parent / "plan"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("studies"))
    done = run(copy, "1.0", "--plan", script=PLAN)
    assert done.stderr.splitlines()[-1] == "0 False False", done.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "finetune.optimizer_options={shar: 1}",
            "finetune.optimizer_options={shar: 1}: the optimizer toy_sign has no option shar; there are share; did you "
            "mean share? (of toy-plugin 1.0)",
        ),
        ("finetune.optimizer_options.share=7", "option share of the optimizer toy_sign: input should be less than or"),
        (
            "data.cells={reader: toy_arrays, path: arrays, negativ: 1}",
            "data.cells: the reader toy_arrays has no option negativ",
        ),
    ],
)
def test_options_are_checked_when_it_is_planned(folder: Path, setting: str, message: str) -> None:
    done = run(folder, "1.0", "--plan", "--set", setting)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    where = "grid.yaml:10" if "share=" in setting else f"--set {setting}"
    assert done.stderr.startswith(f"error: {where}: ")
