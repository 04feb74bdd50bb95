"""Plans and a study of commit f28a3ea: the same grid must give the same keys, and find the same stages done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from sweep.grid.loader import load_grid
from sweep.plan.inputs import gather
from sweep.plan.plan import make_plan
from trainables.store import layout
from trainables.store.storage import Storage
from trainables.store.study import Study

FIXTURES = Path(__file__).parents[2] / "fixtures"
OLD = json.loads((FIXTURES / "keys_f28a3ea.json").read_text(encoding="utf-8"))
RULED = str(FIXTURES / "ruled.yaml")


def planned_keys(grid: str, cache: Path, data: Path = Path(), weights: Path | None = None) -> dict[str, str | None]:
    loaded = load_grid(grid, edition=1)
    inputs = gather(loaded, data, weights, cache)
    assert not inputs.missing
    return {f"{stage.kind} {stage.name}": stage.key for stage in make_plan(loaded, inputs).stages}


def test_the_keys_of_smoke_stay(tmp_path: Path) -> None:
    assert planned_keys("smoke", tmp_path) == OLD["plans"]["smoke"]


def test_the_keys_of_a_grid_with_range_tests_tables_and_rules_stay(tmp_path: Path) -> None:
    assert planned_keys(RULED, tmp_path) == OLD["plans"]["ruled"]


def test_the_keys_of_mini_stay(tmp_path: Path, shared_data: Path, shared_weights: Path) -> None:
    assert planned_keys("mini", tmp_path, shared_data, shared_weights) == OLD["plans"]["mini"]


def test_a_study_is_found_done(run: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """Its specifications and results as they were written; its tables and weights are not needed to plan."""
    study = Study(Storage(tmp_path / "studies/ruled"))
    study.storage.write_json(layout.STUDY, OLD["ruled"]["header"])
    for folder, files in OLD["ruled"]["stages"].items():
        study.storage.write_json(f"{layout.STAGES}/{folder}/{layout.STAGE}", files["stage"])
        study.storage.write_json(f"{layout.STAGES}/{folder}/{layout.RESULT}", files["result"])
    done = run("--grid", RULED, "--storage", "studies", "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert {stage["state"] for stage in plan["stages"]} == {"done"}
    assert len(plan["stages"]) == 20
    assert plan["left_alone"] == []
