"""The project's own rules: which way imports point, what stays small, and that the README tells the truth."""

from __future__ import annotations

import ast
import re
import sys
import tempfile
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sweep.grid.loader import load_grid

ROOT = Path(__file__).parents[1]
PACKAGES = ("sweep", "trainables", "analysis")
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
KNOWS = {"trainables": set[str](), "analysis": {"trainables"}, "sweep": {"trainables"}}
MAY_CALL_ANALYSIS = {"sweep/commands/study_run.py", "sweep/status.py", "sweep/wandb.py"}


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.partition(".")[0])
    return modules


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_imports_point_one_way(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    allowed = {package, *KNOWS[package], *({"analysis"} if name(file) in MAY_CALL_ANALYSIS else ())}
    assert imported(file) & set(PACKAGES) <= allowed


def test_all_that_is_imported_is_installed_with_the_project() -> None:
    """Without what only the tests install. What a cluster file alone needs is an extra, and asked for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    installed = {re.split(r"[\[<>=]", line)[0] for line in lines}
    foreign = {module for file in SOURCES for module in imported(file)} - sys.stdlib_module_names - set(PACKAGES)
    providers = packages_distributions()
    assert not {module for module in foreign if not {d.lower() for d in providers.get(module, [])} & installed}


@pytest.mark.parametrize("file", SOURCES, ids=name)
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 300
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > 60]
    assert not long


def test_the_quick_start_is_two_command_lines() -> None:
    section = re.search(r"^## Quick start\s*$(.*?)(?=^## |\Z)", (ROOT / "README.md").read_text(), re.S | re.M)
    assert section is not None
    blocks = re.findall(r"^```sh\s*$(.*?)^```", section.group(1), re.S | re.M)
    assert len(blocks) == 2
    assert all(len(block.strip().splitlines()) == 1 for block in blocks)
    assert "--grid smoke" in blocks[0]
    assert "pytest" in blocks[1]


def test_the_readme_names_only_files_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`((?:sweep|trainables|analysis|tests)/[\w./]*)`", text))
    assert len(named) > 8
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_grid_in_the_readme_is_one() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    whole = [block for block in blocks if block.startswith("target:")]
    assert len(whole) == 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "grid.yaml")
        file.write_text(whole[0])
        grid = load_grid(str(file))
    assert list(grid.scenarios) == ["Random", "ImageNet", "PCam", "ImageNet+CD"]
